"""The plan of many steps at once is the plan of each step, and knows what stands where."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.pipeline.plan import Plan, addresses, draws, substitute, visits
from avrep.pipeline.plan_span import PlanSpan, planned_rows
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import Address


def make_plan(num_rows: int, num_visits: int, draws_per_visit: int = 1, seed: int = 0) -> Plan:
    return Plan(
        seed=seed,
        rows=np.arange(num_rows) * 3 + 1,
        global_batch=num_visits * draws_per_visit,
        draws_per_visit=draws_per_visit,
        shuffle=ShuffleConfig(block_items=3, window_blocks=4),
    )


def make_span(plan: Plan, steps: range) -> PlanSpan:
    return PlanSpan(plan, steps, np.concatenate([rows for _, rows in planned_rows(plan, steps)]))


def columns(rows: list[tuple[int, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column, np.int64) for column in zip(*rows, strict=True))


@given(
    num_rows=st.integers(1, 60),
    num_visits=st.integers(1, 9),
    first=st.integers(0, 300),
    count=st.integers(1, 60),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_many_steps_at_once_are_the_steps_one_by_one(
    num_rows: int, num_visits: int, first: int, count: int, seed: int
) -> None:
    plan = make_plan(num_rows, min(num_visits, num_rows), seed=seed)
    steps = range(first, first + count)
    together = [
        (epoch, list(row)) for epoch, rows in planned_rows(plan, steps) for row in rows.tolist()
    ]
    one_by_one = [[visit.address for visit in visits(plan, step)] for step in steps]
    assert together == [(of[0].epoch, [a.item for a in of]) for of in one_by_one]


def test_a_large_epoch_is_computed_piece_by_piece() -> None:
    plan = Plan(seed=2, rows=np.arange(120_000), global_batch=40_000)
    parts = [rows for _, rows in planned_rows(plan, range(4))]
    assert max(map(len, parts)) == 1
    for step in range(4):
        assert parts[step][0].tolist() == [a.item for a in addresses(plan, step)]


def test_what_is_planned_there_and_what_anywhere() -> None:
    plan = make_plan(20, 3, draws_per_visit=2)
    steps = range(4, 11)
    span = make_span(plan, steps)
    there = [
        (step, place, a.epoch, a.item, a.draw)
        for step in steps
        for place, a in enumerate(addresses(plan, step))
    ]
    step, place, epoch, item, draw = columns(there)
    assert span.has_there(step, place, epoch, item, draw).all()
    assert span.has_anywhere(epoch, item, draw).all()
    for changed in (
        (step, place, epoch + 1, item, draw),
        (step, place, epoch, item + 1, draw),
        (step, place, epoch, item, 1 - draw),
        (step, place, epoch, item, draw + 2),
    ):
        assert not span.has_there(*changed).any()
    for nowhere in ((epoch, item + 1, draw), (epoch, item, draw + 2), (epoch + 2, item, draw)):
        assert not span.has_anywhere(*nowhere).any()
    assert span.has_anywhere(epoch, item, 1 - draw).all()
    # An item of the epoch that these steps do not visit.
    before = [a for a in addresses(plan, 3) if a.epoch == 0]
    outside = columns([(a.epoch, a.item, a.draw) for a in before])
    assert not span.has_anywhere(*outside).any()


def test_which_places_there_are() -> None:
    span = make_span(make_plan(20, 3), range(4, 6))
    step = np.array([3, 4, 5, 6, 4, 4])
    place = np.array([0, 0, 2, 0, -1, 3])
    assert span.has_place(step, place).tolist() == [False, True, True, False, False, False]


def test_substitutes_stand_in_at_their_own_place_only() -> None:
    # So many that no two places share a substitute by chance.
    plan = make_plan(5000, 2, draws_per_visit=2)
    span = make_span(plan, range(3))
    for step in range(3):
        for place, planned in enumerate(addresses(plan, step)):
            visit = Address(planned.epoch, planned.item)
            number = place % 2
            assert not span.substitutes_there(step, place, planned)
            for attempt in (1, 2, 15):
                stands_in = draws(plan, substitute(plan, visit, attempt))
                assert span.substitutes_there(step, place, stands_in[number])
                assert not span.substitutes_there(step, place, stands_in[1 - number])
                assert not span.substitutes_there((step + 1) % 3, place, stands_in[number])
            beyond = draws(plan, substitute(plan, visit, 16))[number]
            assert not span.substitutes_there(step, place, beyond)
