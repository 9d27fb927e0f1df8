"""Proves that plans of batches are what they say: pure functions, whole epochs, even classes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.evaluation.sound.batch_plan import balanced_plan, shuffled_plan
from avrep.evaluation.sound.states import cut_start

_SIZES = st.integers(1, 40)
_SEEDS = st.integers(0, 2**32)


@settings(max_examples=30)
@given(num=_SIZES, batch_size=_SIZES, seed=_SEEDS, epoch=st.integers(0, 3))
def test_a_shuffled_epoch_has_every_example_once(
    num: int, batch_size: int, seed: int, epoch: int
) -> None:
    plan = shuffled_plan(num, batch_size, seed)
    per_epoch = -(-num // batch_size)
    batches = [plan(epoch * per_epoch + place) for place in range(per_epoch)]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert sorted(index for batch in batches for index in batch) == list(range(num))


@settings(max_examples=30)
@given(num=_SIZES, batch_size=_SIZES, seed=_SEEDS, numbers=st.lists(st.integers(0, 99)))
def test_a_batch_does_not_depend_on_those_before_it(
    num: int, batch_size: int, seed: int, numbers: list[int]
) -> None:
    labels = [str(index % 3) for index in range(num)]
    for one, other in (
        (shuffled_plan(num, batch_size, seed), shuffled_plan(num, batch_size, seed)),
        (balanced_plan(labels, batch_size, seed), balanced_plan(labels, batch_size, seed)),
    ):
        assert [one(number) for number in numbers] == [
            other(number) for number in reversed(numbers)
        ][::-1]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, other = shuffled_plan(50, 50, 1), shuffled_plan(50, 50, 2)
    assert first(0) != first(1)
    assert first(0) != other(0)


@settings(max_examples=30)
@given(batch_size=_SIZES, seed=_SEEDS, number=st.integers(0, 1000))
def test_balanced_batches_are_full(batch_size: int, seed: int, number: int) -> None:
    batch = balanced_plan(["a", "b", "a"], batch_size, seed)(number)
    assert len(batch) == batch_size
    assert set(batch) <= {0, 1, 2}


def test_each_class_is_as_likely_and_each_of_its_examples() -> None:
    labels = ["many"] * 90 + ["few"] * 10
    plan = balanced_plan(labels, 100, seed=0)
    drawn = np.concatenate([plan(number) for number in range(100)])
    counts = np.bincount(drawn, minlength=100)
    # Binomial, 10,000 draws: five deviations.
    assert abs(counts[:90].sum() - 5000) < 250
    assert abs(counts[:90] - 5000 / 90).max() < 5 * (5000 / 90) ** 0.5
    assert abs(counts[90:] - 500).max() < 5 * 500**0.5


@settings(max_examples=30)
@given(
    length=st.integers(1, 100),
    wanted=st.integers(1, 100),
    place=st.floats(0, 1, exclude_max=True),
)
def test_a_cut_lies_within(length: int, wanted: int, place: float) -> None:
    start = cut_start(length, wanted, place)
    assert start >= 0
    assert start + min(length, wanted) <= length


def test_every_beginning_of_a_cut_is_as_likely() -> None:
    places = (np.arange(700) + 0.5) / 700
    starts = [cut_start(10, 4, place) for place in places]
    assert np.bincount(starts).tolist() == [100] * 7
