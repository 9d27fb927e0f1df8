"""Proves that labels are balanced and tell nothing of one another, and that a scene is a pure
function of seed and index.
"""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from avrep.media.synth_scene import BLOCK, Scene, SynthConfig, scene

CONFIG = SynthConfig()
LABELS = ("split", "shape", "texture", "motion", "speed", "background", "colour")
COUNTS = {
    "shape": 6,
    "texture": 4,
    "motion": 8,
    "speed": 2,
    "background": 4,
    "colour": 6,
}


def draws(num: int, seed: int = 0) -> list[Scene]:
    config = SynthConfig(seed=seed)
    return [scene(config, index) for index in range(num)]


def chi_square_p(table: np.ndarray) -> float:
    """Pearson's test of independence: how often chance alone gives a table as uneven as this."""
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(stats.chi2.sf(((table - expected) ** 2 / expected).sum(), freedom))


@pytest.mark.parametrize("block", [0, 1, 77])
def test_each_block_holds_every_label_equally_often(block: int) -> None:
    drawn = [scene(CONFIG, block * BLOCK + place) for place in range(BLOCK)]
    for label, count in COUNTS.items():
        tally = Counter(getattr(item, label) for item in drawn)
        assert sorted(tally.values()) == [BLOCK // count] * count, label
    assert Counter(item.split for item in drawn) == {"train": 32, "test": 16}
    # Crossed: each motion at each speed twice in training and once in testing.
    crossed = Counter((item.motion, item.speed, item.split) for item in drawn)
    assert all(crossed[m, s, p] == (2 if p == "train" else 1) for m, s, p in crossed)
    assert len(crossed) == 32
    assert set(Counter((item.shape, item.texture) for item in drawn).values()) == {2}
    assert set(Counter((item.background, item.colour) for item in drawn).values()) == {2}


def test_no_label_tells_anything_of_another() -> None:
    drawn = draws(4800)
    p_values = []
    for first, second in combinations(LABELS, 2):
        rows = sorted({getattr(item, first) for item in drawn})
        columns = sorted({getattr(item, second) for item in drawn})
        table = np.zeros((len(rows), len(columns)))
        for item in drawn:
            table[rows.index(getattr(item, first)), columns.index(getattr(item, second))] += 1
        p_values.append(chi_square_p(table))
    # 21 tables: with independent labels the least p-value is below 0.0005 once in 95 times.
    assert min(p_values) > 0.0005


def test_what_is_drawn_freely_tells_nothing_of_the_motion() -> None:
    drawn = draws(1920)
    for name in ("x_px", "y_px", "radius_px", "angle_rad", "phase"):
        by_motion: dict[str, list[float]] = {}
        for item in drawn:
            by_motion.setdefault(item.motion, []).append(getattr(item, name))
        assert stats.kruskal(*by_motion.values()).pvalue > 0.001, name
    for channel in range(3):
        by_motion = {}
        for item in drawn:
            by_motion.setdefault(item.motion, []).append(item.backdrop_rgb[1][channel])
        assert stats.kruskal(*by_motion.values()).pvalue > 0.001


def test_fast_is_twice_as_fast_as_slow_for_every_motion() -> None:
    drawn = draws(480)
    for motion in {item.motion for item in drawn}:
        slow = [item.rate for item in drawn if (item.motion, item.speed) == (motion, "slow")]
        fast = [item.rate for item in drawn if (item.motion, item.speed) == (motion, "fast")]
        assert min(fast) / max(slow) > 1.8
        assert np.mean(fast) / np.mean(slow) == pytest.approx(2.2, rel=0.05)


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    assert scene(CONFIG, 5) == scene(SynthConfig(num_videos=7, num_speech=0), 5)
    assert scene(CONFIG, 5) != scene(SynthConfig(seed=1), 5)
    first = [item.motion for item in draws(96)]
    assert first != [item.motion for item in draws(96, seed=1)]
    assert first[:48] != first[48:]


def test_colours_are_the_ones_that_they_are_called() -> None:
    strongest = {
        "red": (0,),
        "yellow": (0, 1),
        "green": (1,),
        "cyan": (1, 2),
        "blue": (2,),
        "magenta": (0, 2),
    }
    for item in draws(240):
        lit = tuple(channel for channel in range(3) if item.shape_rgb[channel] > 0.6)
        assert lit == strongest[item.colour], item.colour
        assert max(item.shape_rgb) > 1.5 * max(item.backdrop_rgb[1])


@pytest.mark.parametrize(
    "setting",
    [{"width_px": 63}, {"width_px": 129}, {"fps": 0}, {"rate_hz": 12345}, {"duration_s": 0.5}],
)
def test_settings_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SynthConfig.model_validate(setting)
    with pytest.raises(ValidationError):
        SynthConfig.model_validate({"sede": 1})
