"""Proves that holding out never cuts a group, never empties a class, gives about the share asked
for, and says so by holding nothing out when it cannot.
"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out, num_held_groups

ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.sampled_from("pqrstu"))),
    min_size=1,
    max_size=60,
)


@given(rows=ROWS, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 20))
def test_groups_are_whole_and_no_class_is_emptied(
    rows: list[tuple[str, str | None]], fraction: float, seed: int
) -> None:
    labels = [label for label, _ in rows]
    groups = [group for _, group in rows]
    held = hold_out(labels, groups, fraction, generator(seed, Draw.HOLD_OUT))
    assert held.shape == (len(rows),)
    out = {group for group, is_out in zip(groups, held, strict=True) if is_out and group}
    rest = {group for group, is_out in zip(groups, held, strict=True) if not is_out and group}
    assert not out & rest
    assert {label for label, is_out in zip(labels, held, strict=True) if not is_out} == set(labels)
    again = hold_out(labels, groups, fraction, generator(seed, Draw.HOLD_OUT))
    assert (held == again).all()
    alone = sum(1 for group, is_out in zip(groups, held, strict=True) if is_out and group is None)
    assert num_held_groups(held, groups) == len(out) + alone


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_without_groups_each_class_gives_its_share(fraction: float) -> None:
    labels = ["big"] * 200 + ["small"] * 30 + ["two"] * 2 + ["one"]
    held = hold_out(labels, None, fraction, generator(0, Draw.HOLD_OUT))
    counts = Counter(np.asarray(labels)[held].tolist())
    assert counts["big"] == 200 * fraction
    assert counts["small"] == 30 * fraction
    assert counts["two"] == 1
    assert counts["one"] == 0


def test_ucf101_like_groups_give_about_their_share() -> None:
    # 101 classes, groups 8 to 25 of 4 to 7 videos each, as in the first official train list.
    rng = np.random.default_rng(0)
    rows = [
        (f"class {label}", f"g{group:02d}")
        for label in range(101)
        for group in range(8, 26)
        for _ in range(rng.integers(4, 8))
    ]
    labels, groups = zip(*rows, strict=True)
    for seed in range(5):
        held = hold_out(labels, groups, 0.2, generator(seed, Draw.HOLD_OUT))
        assert 0.15 < held.mean() < 0.25
        assert len(set(np.asarray(labels)[held])) == 101
        assert num_held_groups(held, groups) == len(set(np.asarray(groups)[held])) < 6


def test_the_seed_decides_which_groups() -> None:
    labels, groups = list("ab" * 20), [f"g{row // 4}" for row in range(40)]
    chosen = {
        tuple(hold_out(labels, groups, 0.2, generator(seed, Draw.HOLD_OUT)).tolist())
        for seed in range(8)
    }
    assert len(chosen) > 3


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (["a", "b"], None),
        (["a", "a", "b", "b"], ["g1", "g1", "g2", "g2"]),
        (["a", "b", "a", "b"], ["g1", "g1", "g1", "g1"]),
        (["a"], ["g1"]),
    ],
)
def test_nothing_is_held_out_when_no_group_can_be_spared(
    labels: list[str], groups: list[str] | None
) -> None:
    assert not hold_out(labels, groups, 0.4, generator(0, Draw.HOLD_OUT)).any()


def test_one_spare_group_is_enough() -> None:
    # g2 can go (class a keeps g1); g1 cannot, it has all of class b.
    held = hold_out(["a", "a", "b"], ["g1", "g2", "g1"], 0.4, generator(0, Draw.HOLD_OUT))
    assert held.tolist() == [False, True, False]
