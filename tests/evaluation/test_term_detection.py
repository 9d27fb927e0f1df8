"""Proves term-weighted value: worked by hand, against a slow restatement at every threshold, with
queries weighed, and with trials that a system gave no score.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.evaluation.term_detection import (
    RankedTerms,
    TermCosts,
    TermTrials,
    actual_twv,
    maximum_twv,
    term_trials,
)

MILD = TermCosts(p_target=0.5, cost_miss=1.0, cost_false_alarm=1.0)


@st.composite
def challenges(draw: st.DrawFn) -> TermTrials:
    num_queries, num_documents = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    levels = st.lists(st.integers(-3, 3), min_size=num_documents, max_size=num_documents)
    scores = [draw(levels) for _ in range(num_queries)]
    kinds = [draw(st.permutations([True, False, *[False] * (num_documents - 2)])) for _ in scores]
    return TermTrials(scores=np.array(scores, np.float64), is_target=np.array(kinds))


def slow_twv(trials: TermTrials, accepted: np.ndarray, costs: TermCosts) -> float:
    lost = 0.0
    for row, targets in zip(accepted, trials.is_target, strict=True):
        lost += 1 - row[targets].mean() + costs.beta * row[~targets].mean()
    return 1 - lost / len(accepted)


def test_the_challenges_costs() -> None:
    assert TermCosts().beta == pytest.approx(12.49)
    assert MILD.beta == 1


def test_worked_by_hand() -> None:
    # Two queries, four documents. Query 0 is in documents 0 and 1, query 1 in document 2.
    trials = TermTrials(
        scores=np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 0.0, 3.0, 1.0]]),
        is_target=np.array([[True, True, False, False], [False, False, True, False]]),
    )
    ranked = RankedTerms(trials, MILD)
    np.testing.assert_array_equal(ranked.thresholds, [np.inf, 3, 2, 1, 0])
    # 3: one hit of two and the one hit: (1/2 + 1) / 2. 2: one of two others accepted: -1/2 / 2.
    # 1: the other hit, and one of query 1's three others: (1/2 - 1/3) / 2.
    np.testing.assert_allclose(ranked.values(), [0, 0.75, 0.5, 0.5 + 1 / 12, 0], atol=1e-12)
    assert maximum_twv(ranked) == (pytest.approx(0.75), 3.0)
    assert actual_twv(ranked, 2.0) == pytest.approx(0.75)
    assert actual_twv(ranked, 1.9) == pytest.approx(0.5)
    assert actual_twv(ranked, 5.0) == 0
    # Query 1 alone, weighed thrice, is perfect.
    assert maximum_twv(ranked, np.array([0.0, 3.0])) == (pytest.approx(1.0), 3.0)


def test_scores_that_mislead_are_worth_nothing() -> None:
    scores = np.array([[0.0, 1.0, 2.0]])
    ranked = RankedTerms(TermTrials(scores=scores, is_target=np.array([[True, False, False]])))
    assert maximum_twv(ranked) == (0.0, np.inf)
    assert actual_twv(ranked, 0.5) == pytest.approx(-12.49)


@settings(max_examples=30, deadline=None)
@given(challenges(), st.sampled_from([MILD, TermCosts()]))
def test_against_a_slow_restatement(trials: TermTrials, costs: TermCosts) -> None:
    ranked = RankedTerms(trials, costs)
    thresholds = [np.inf, *sorted(set(trials.scores.ravel().tolist()), reverse=True)]
    wanted = [slow_twv(trials, trials.scores >= threshold, costs) for threshold in thresholds]
    np.testing.assert_array_equal(ranked.thresholds, thresholds)
    np.testing.assert_allclose(ranked.values(), wanted, atol=1e-9)
    assert maximum_twv(ranked)[0] == pytest.approx(max(wanted))
    assert actual_twv(ranked, 0.5) == pytest.approx(slow_twv(trials, trials.scores > 0.5, costs))


@settings(max_examples=30, deadline=None)
@given(challenges(), st.data())
def test_a_weight_is_a_repetition(trials: TermTrials, data: st.DataObject) -> None:
    num_queries = len(trials.scores)
    times = data.draw(st.lists(st.integers(1, 3), min_size=num_queries, max_size=num_queries))
    repeated = TermTrials(
        scores=np.repeat(trials.scores, times, axis=0),
        is_target=np.repeat(trials.is_target, times, axis=0),
    )
    weighed = RankedTerms(trials).values(np.array(times, np.float64))
    np.testing.assert_allclose(weighed, RankedTerms(repeated).values(), atol=1e-9)


def test_trials_without_a_score_have_the_default() -> None:
    trials = term_trials(
        ["q1", "q2", "nowhere"],
        ["d1", "d2", "d3"],
        {"q1": frozenset({"d1"}), "q2": frozenset({"d3", "elsewhere"})},
        {"q1": {"d1": 4.0, "d2": 1.0, "elsewhere": 9.0}},
    )
    np.testing.assert_array_equal(trials.scores, [[4, 1, -10], [-10, -10, -10]])
    np.testing.assert_array_equal(trials.is_target, [[1, 0, 0], [0, 0, 1]])
    # A query that is not searched misses all: half of the value is lost.
    assert maximum_twv(RankedTerms(trials))[0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no query"):
        term_trials(["q1"], ["d1"], {"q1": frozenset({"d2"})}, {})
    with pytest.raises(ValueError, match="one without it"):
        RankedTerms(TermTrials(scores=np.zeros((1, 2)), is_target=np.ones((1, 2), np.bool_)))
