"""The audit of synchrony: what is not picture and sound together must not tell the offset.

Classifiers see the metadata of real decoded batches, or where their sound is silent and loud, and
must stay at chance on items that they were not fitted on. The same classifiers find leaks that are
planted, so that the audit can fail.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom
from sklearn.ensemble import RandomForestClassifier

from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.spec import ViewSpec
from avrep.sampling.sync import SyncConfig, offset_number, offsets_s
from avrep.types import Geometry, View

pytestmark = pytest.mark.slow

_RATE_HZ = 16000
_DRAWS = 48
_CONFIG = SyncConfig(num_frames=10, fps=25.0, max_offset_s=0.2, num_offsets=5, jitter_s=0.02)
_CHANCE = 1 / 5
_SURE = 1e-3
"""How seldom chance alone is outside the bound, for one comparison."""

Rows = npt.NDArray[np.float64]
"""[n features], one row a clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    views: list[View]
    numbers: npt.NDArray[np.int64]
    """Of the offset that each clip was drawn with."""
    items: npt.NDArray[np.int64]
    """Row of the catalogue that each clip is of."""
    durations_s: npt.NDArray[np.float64]
    """Of each clip's item."""


def draw_clips(catalog: Catalog, config: SyncConfig, num_visits: int) -> Clips:
    rows = catalog.rows_with(video=True, audio=True)
    plan = Plan(seed=5, rows=rows, global_batch=_DRAWS, draws_per_visit=_DRAWS)
    spec = ViewSpec(sampler=config, geometry=Geometry(short_side_px=16, rate_hz=_RATE_HZ))
    source = StreamSource(catalog=catalog, plan=plan, specs=(spec,))
    views, numbers, items = [], [], []
    for batch in batches(source, range(num_visits)):
        (view,) = batch.views
        assert view.first_frame_s is not None
        assert view.audio_start_s is not None
        views.append(view)
        items += [address.item for address in batch.addresses]
        numbers += [
            offset_number(config, *times)
            for times in zip(view.first_frame_s, view.audio_start_s, strict=True)
        ]
    return Clips(
        views=views,
        numbers=np.array(numbers),
        items=np.array(items),
        durations_s=np.array([catalog[item].duration_s for item in items]),
    )


def metadata(clips: Clips) -> Rows:
    """All that a batch says of a clip beside its picture and sound, but for where the item has its
    sound: with the place of the pictures that would be the answer itself.
    """
    columns = []
    for view in clips.views:
        assert view.first_frame_s is not None
        assert view.audio_start_s is not None
        assert view.num_samples is not None
        sound_s = view.audio_start_s
        columns.append(
            np.column_stack(
                [
                    view.first_frame_s,
                    view.pts_s[:, 0],
                    view.first_frame_s - view.pts_s[:, 0],
                    view.pts_s[:, -1] - view.pts_s[:, 0],
                    view.num_samples,
                    # Phases of the sound's clock: codec frames, 10 ms, samples of other rates.
                    sound_s % (1024 / _RATE_HZ),
                    sound_s % (1152 / 44100),
                    sound_s % 0.01,
                    sound_s % 0.04,
                    view.size_px,
                ]
            )
        )
    return np.column_stack([np.concatenate(columns), clips.durations_s])


def silence(clips: Clips) -> Rows:
    """Where the sound is exactly zero, where it begins and ends to be heard, and how loud it is over
    twenty stretches of the clip.
    """
    rows = []
    for view in clips.views:
        assert view.audio is not None
        for sound in view.audio:
            stretches = np.array_split(sound, 20)
            loud = np.array([np.sqrt(np.mean(s.astype(np.float64) ** 2)) for s in stretches])
            is_zero = sound == 0
            heard = np.flatnonzero(np.abs(sound) > 1e-4)
            edges = (heard[0], heard[-1]) if len(heard) else (len(sound), 0)
            zeros = [np.mean(part) for part in np.array_split(is_zero, 10)]
            rise = np.diff(np.log(loud + 1e-5))
            rows.append([*zeros, *edges, *loud, *rise, rise.argmax(), rise.argmin()])
    return np.array(rows)


def num_hits(rows: Rows, clips: Clips) -> tuple[int, int]:
    """Right answers on held-out items, and how many were asked; each half is held out once."""
    half = np.isin(clips.items, np.unique(clips.items)[::2])
    hits = 0
    for test in (half, ~half):
        forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
        forest.fit(rows[~test], clips.numbers[~test])
        hits += int((forest.predict(rows[test]) == clips.numbers[test]).sum())
    return hits, len(rows)


def most_by_chance(num_clips: int) -> int:
    """Right answers that guessing exceeds once in a thousand times."""
    return int(binom.isf(_SURE, num_clips, _CHANCE))


@pytest.fixture(scope="module")
def synth_clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("audit")
    config = SynthConfig(
        num_videos=24, num_flash_beep=8, num_speech=0, duration_s=4.0, width_px=64, height_px=48
    )
    write_corpus(folder / "corpus", config)
    index_sources([str(folder / "corpus")], folder / "c.parquet", num_workers=1)
    return draw_clips(Catalog.open(folder / "c.parquet"), _CONFIG, num_visits=32)


@pytest.fixture(scope="module")
def real_clips(media_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    path = tmp_path_factory.mktemp("audit") / "grid.parquet"
    index_sources([str(media_root / "av" / "grid")], path, num_workers=1)
    return draw_clips(Catalog.open(path), _CONFIG, num_visits=28)


@pytest.mark.parametrize("features", [metadata, silence])
@pytest.mark.parametrize("corpus", ["synth_clips", "real_clips"])
def test_metadata_and_silence_stay_at_chance(
    corpus: str, features: Callable[[Clips], Rows], request: pytest.FixtureRequest
) -> None:
    clips: Clips = request.getfixturevalue(corpus)
    hits, num_clips = num_hits(features(clips), clips)
    assert hits <= most_by_chance(num_clips)


def test_silence_in_place_of_sound_that_is_shifted_away_is_found(real_clips: Clips) -> None:
    """As if the sound had been cut where the pictures are, and then moved."""
    assert_found(silence, planted(real_clips, _padded_for_the_shift))


def test_a_shorter_sound_for_a_larger_shift_is_found(synth_clips: Clips) -> None:
    assert_found(metadata, planted(synth_clips, _cut_for_the_shift))


def test_pictures_that_are_placed_after_the_sound_are_found(synth_clips: Clips) -> None:
    """As if the sound had been put on whole seconds, and the pictures before or after it."""
    assert_found(metadata, planted(synth_clips, _on_whole_seconds))


def planted(clips: Clips, leak: Callable[[View, int, int], None]) -> Clips:
    """A copy with a leak in each clip, as a function of (view, row, samples of its offset)."""
    views = [
        replace(
            view,
            audio=np.array(view.audio),
            num_samples=np.array(view.num_samples),
            first_frame_s=np.array(view.first_frame_s),
        )
        for view in clips.views
    ]
    numbers = iter(clips.numbers)
    for view in views:
        for row in range(len(view.pts_s)):
            leak(view, row, round(offsets_s(_CONFIG)[next(numbers)] * _RATE_HZ))
    return replace(clips, views=views)


def _padded_for_the_shift(view: View, row: int, shift: int) -> None:
    assert view.audio is not None
    if shift > 0:
        view.audio[row, -shift:] = 0
    else:
        view.audio[row, :-shift] = 0


def _cut_for_the_shift(view: View, row: int, shift: int) -> None:
    assert view.num_samples is not None
    view.num_samples[row] -= shift


def _on_whole_seconds(view: View, row: int, shift: int) -> None:
    assert view.first_frame_s is not None
    view.first_frame_s[row] = round(view.first_frame_s[row]) - shift / _RATE_HZ


def assert_found(features: Callable[[Clips], Rows], clips: Clips) -> None:
    hits, num_clips = num_hits(features(clips), clips)
    assert hits > 2 * most_by_chance(num_clips)
