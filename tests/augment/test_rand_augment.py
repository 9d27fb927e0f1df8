"""Proves RandAugment's draws against the law that the released code has: which, whether, how strong."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from avrep.augment.rand_augment import NOT_MADE, OPERATIONS, RandAugmentConfig, draw_operations

CONFIG = RandAugmentConfig()
ALL_MADE = RandAugmentConfig(probability=1.0)


def many(config: RandAugmentConfig, draws: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    drawn = [draw_operations(config, rng) for rng in np.random.default_rng(0).spawn(draws)]
    return np.array([numbers for numbers, _ in drawn]), np.array([own for _, own in drawn])


def test_the_defaults_are_rand_m7_n4_mstd05_of_15_operations() -> None:
    assert CONFIG.model_dump() == {
        "num_operations": 4,
        "magnitude": 7.0,
        "magnitude_std": 0.5,
        "probability": 0.5,
    }
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 15


def test_each_operation_is_as_likely_in_each_place_and_may_come_again() -> None:
    operations, _ = many(ALL_MADE)
    assert operations.shape == (4000, 4)
    for place in operations.T:
        assert stats.chisquare(np.bincount(place, minlength=15)).pvalue > 1e-4
    # All of four unlike: 14 * 13 * 12 of 15^3.
    num_unlike = sum(len(set(row)) == 4 for row in operations.tolist())
    assert stats.binomtest(num_unlike, 4000, 14 * 13 * 12 / 15**3).pvalue > 1e-4


def test_each_is_made_half_of_the_time_whatever_the_others() -> None:
    is_made = many(CONFIG)[0] != NOT_MADE
    counts = np.bincount(is_made.sum(axis=1), minlength=5)
    assert stats.chisquare(counts, 4000 * np.array([1, 4, 6, 4, 1]) / 16).pvalue > 1e-4
    for place in is_made.T:
        assert stats.binomtest(int(place.sum()), 4000, 0.5).pvalue > 1e-4


def test_strengths_are_normal_of_either_sign() -> None:
    _, strengths = many(CONFIG)
    assert stats.kstest(np.abs(strengths).ravel(), stats.norm(0.7, 0.05).cdf).pvalue > 1e-4
    assert stats.binomtest(int((strengths < 0).sum()), strengths.size, 0.5).pvalue > 1e-4
    # Each operation has its own.
    correlation = np.corrcoef(np.concatenate([np.abs(strengths).T, np.sign(strengths).T]))
    assert np.abs(correlation - np.eye(8)).max() < 0.08


@pytest.mark.parametrize(("magnitude", "edge"), [(10.0, 1.0), (0.0, 0.0)])
def test_strengths_are_cut_to_the_range(magnitude: float, edge: float) -> None:
    _, strengths = many(RandAugmentConfig(magnitude=magnitude, magnitude_std=2.0))
    sizes = np.abs(strengths)
    assert sizes.min() >= 0
    assert sizes.max() <= 1
    assert stats.binomtest(int((sizes == edge).sum()), sizes.size, 0.5).pvalue > 1e-4


def test_without_deviation_all_are_of_one_magnitude() -> None:
    _, strengths = many(RandAugmentConfig(magnitude=9.0, magnitude_std=0.0), 10)
    np.testing.assert_array_equal(np.abs(strengths), 0.9)


def test_one_generator_gives_one_draw_and_a_chance_moves_no_other() -> None:
    one, again = many(CONFIG, 100), many(CONFIG, 100)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    made = many(ALL_MADE, 100)
    np.testing.assert_array_equal(one[1], made[1])
    np.testing.assert_array_equal(one[0], np.where(one[0] == NOT_MADE, NOT_MADE, made[0]))


@pytest.mark.parametrize(
    "wrong",
    [{"num_operations": 0}, {"magnitude": 11}, {"magnitude_std": -1}, {"probability": 2}, {"m": 7}],
)
def test_configs_refuse_what_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RandAugmentConfig.model_validate(wrong)
