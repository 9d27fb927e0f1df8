"""Proves that the probe solves what is linear, scores chance on noise, minimises the objective it
states, and chooses its regularisation on held-out train videos only.
"""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from avrep.errors import ConfigError
from avrep.evaluation import linear
from avrep.evaluation.linear import LinearProbe, LinearProbeConfig, linear_probe

CONFIG = LinearProbeConfig()


def blobs(
    seed: int, num: int, classes: int = 4, width: int = 8, spread: float = 0.3
) -> tuple[npt.NDArray[np.float32], list[str]]:
    centres = np.random.default_rng(99).normal(size=(classes, width))
    rng = np.random.default_rng(seed)
    labels = [row % classes for row in range(num)]
    features = centres[labels] + spread * rng.normal(size=(num, width))
    return features.astype(np.float32), [f"class {label}" for label in labels]


def accuracy(probe: LinearProbe, labels: list[str]) -> float:
    return float(np.mean(probe.predictions == np.array(labels)))


@pytest.mark.parametrize("scaling", ["standardise", "l2"])
def test_separable_classes_are_told_apart(scaling: str) -> None:
    config = LinearProbeConfig.model_validate({"scaling": scaling})
    train, labels = blobs(0, 120)
    test, truth = blobs(1, 80)
    probe = linear_probe(train, labels, None, test, config=config, seed=0)
    assert accuracy(probe, truth) == 1
    assert probe.converged
    assert probe.num_validation == 24


def test_noise_scores_chance() -> None:
    rng = np.random.default_rng(0)
    labels = [str(row % 4) for row in range(200)]
    truth = [str(row % 4) for row in range(1000)]
    train, test = (rng.normal(size=(size, 16)).astype(np.float32) for size in (200, 1000))
    probe = linear_probe(train, labels, None, test, config=CONFIG, seed=0)
    assert abs(accuracy(probe, truth) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 1000)


def test_a_tiny_offset_variation_is_still_read() -> None:
    # What an untrained encoder gives: a large common offset, small differences.
    train, labels = blobs(0, 120)
    test, truth = blobs(1, 80)
    probe = linear_probe(100 + 0.01 * train, labels, None, 100 + 0.01 * test, config=CONFIG, seed=0)
    assert accuracy(probe, truth) == 1


def test_rounding_noise_of_a_constant_is_not_blown_up() -> None:
    train, _ = blobs(0, 60)
    rng = np.random.default_rng(0)

    def constant(size: int) -> npt.NDArray[np.float32]:
        return (1 + 1e-7 * rng.integers(0, 2, (size, 300))).astype(np.float32)

    scaled, _ = linear._scale(
        np.concatenate([train, constant(60)], axis=1),
        np.concatenate([train, constant(60)], axis=1),
        CONFIG,
    )
    assert not scaled[:, 8:].any()
    np.testing.assert_allclose(scaled[:, :8].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled[:, :8].std(axis=0), 1, rtol=1e-6)


def test_scaling_is_measured_on_the_rows_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    train, labels = blobs(0, 40)
    sizes: list[int] = []
    means: list[float] = []
    whole_fit = linear._fit

    def spy(features, *rest):
        sizes.append(len(features))
        means.append(float(np.abs(features.mean(axis=0)).max()))
        return whole_fit(features, *rest)

    monkeypatch.setattr(linear, "_fit", spy)
    linear_probe(train, labels, None, train + 5, config=CONFIG, seed=0)
    # Each value of the grid is fitted without the 8 held-out videos, the chosen one with them.
    assert sizes == [32] * len(CONFIG.l2_grid) + [40]
    assert max(means) < 1e-9
    _, scaled = linear._scale(train, train[:3] + 5, CONFIG)
    _, other = linear._scale(train, np.concatenate([train[:3] + 5, train * 1000]), CONFIG)
    np.testing.assert_array_equal(scaled, other[:3])


def test_the_objective_is_the_one_stated() -> None:
    features, labels = blobs(0, 60, classes=3, width=4, spread=1.0)
    wide, classes = features.astype(np.float64), np.array([int(label[-1]) for label in labels])
    l2 = 0.3

    def objective(flat: npt.NDArray[np.float64]) -> float:
        weights, bias = flat[:12].reshape(4, 3), flat[12:]
        logits = wide @ weights + bias
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(60), classes]
        return float(losses.mean() + l2 / 2 * (weights**2).sum())

    best = minimize(objective, np.zeros(15), tol=1e-10)
    model = linear._fit(wide, np.array(labels), l2, CONFIG)
    np.testing.assert_allclose(model.coef_.T, best.x[:12].reshape(4, 3), atol=1e-3)


def grouped(seed: int, num: int = 120) -> list[str]:
    return np.random.default_rng(seed).permutation([f"g{row % 8}" for row in range(num)]).tolist()


def test_validation_shares_no_group_with_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    train, labels = blobs(0, 120, spread=2.0)
    groups = grouped(1)
    seen: list[tuple[set[bytes], set[bytes]]] = []
    whole_choose = linear._choose

    def spy(fit, fit_labels, held, held_labels, config):
        seen.append(({row.tobytes() for row in fit}, {row.tobytes() for row in held}))
        return whole_choose(fit, fit_labels, held, held_labels, config)

    monkeypatch.setattr(linear, "_choose", spy)
    for seed in range(5):
        linear_probe(train, labels, groups, train, config=CONFIG, seed=seed)
    group_of = {row.tobytes(): group for row, group in zip(train, groups, strict=True)}
    for fit, held in seen:
        assert held
        assert not {group_of[row] for row in fit} & {group_of[row] for row in held}
        assert fit | held == set(group_of)
    assert len({frozenset(held) for _, held in seen}) > 1


def test_test_videos_do_not_change_the_choice() -> None:
    train, labels = blobs(0, 120, spread=2.0)
    one = linear_probe(train, labels, None, blobs(1, 50)[0], config=CONFIG, seed=0)
    two = linear_probe(train, labels, None, blobs(2, 9)[0] * 100, config=CONFIG, seed=0)
    assert (one.l2, one.validation_accuracy) == (two.l2, two.validation_accuracy)


def test_the_best_of_the_grid_is_taken_by_validation() -> None:
    # Noise in many dimensions, signal in few: weak regularisation overfits.
    rng = np.random.default_rng(0)
    labels = [str(row % 2) for row in range(100)]
    features = rng.normal(size=(100, 400)).astype(np.float32)
    features[:, 0] += 2 * (np.arange(100) % 2)
    probe = linear_probe(features, labels, None, features, config=CONFIG, seed=0)
    best = max(probe.validation_accuracy)
    assert probe.validation_accuracy[CONFIG.l2_grid.index(probe.l2)] == best
    assert len(set(probe.validation_accuracy)) > 1
    assert all(first > second for first, second in pairwise(CONFIG.l2_grid))


def test_the_final_fit_uses_all_train_videos() -> None:
    # Class c has one video only, which can never be held out, and is known in the end.
    train, labels = blobs(0, 60, classes=2)
    far = np.full((1, 8), 50, np.float32)
    probe = linear_probe(
        np.concatenate([train, far]), [*labels, "c"], None, far, config=CONFIG, seed=0
    )
    assert probe.predictions.tolist() == ["c"]


def test_no_spare_group_means_the_default_and_says_so() -> None:
    train, labels = blobs(0, 40, classes=2)
    probe = linear_probe(train, labels, labels, train, config=CONFIG, seed=0)
    assert probe.l2 == CONFIG.default_l2
    assert probe.validation_accuracy == ()
    assert probe.num_validation == 0
    assert "could be spared" in probe.note()
    chosen = linear_probe(train, labels, None, train, config=CONFIG, seed=0)
    assert "chosen on 8 train videos" in chosen.note()


def test_a_fit_cut_short_is_told_and_not_warned_of() -> None:
    train, labels = blobs(0, 60, spread=2.0)
    short = LinearProbeConfig(max_iterations=1)
    probe = linear_probe(train, labels, None, train, config=short, seed=0)
    assert not probe.converged
    assert probe.note().endswith("not converged")


def test_one_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 classes"):
        linear_probe(blobs(0, 4)[0], ["a"] * 4, None, blobs(0, 4)[0], config=CONFIG, seed=0)
