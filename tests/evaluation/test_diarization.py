"""Proves the diarization error rate: worked by hand, against pyannote.metrics, and against a slow
restatement that tries every match of speakers; and that RTTM comes back as it was written.
"""

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from avrep.errors import ConfigError
from avrep.evaluation.diarization import DiarizationErrors, Turn, diarization_errors, summed
from avrep.evaluation.rttm import read_rttm, write_rttm


def turns(*spoken: tuple[str, float, float]) -> list[Turn]:
    return [Turn(speaker=speaker, start_s=start, end_s=end) for speaker, start, end in spoken]


def parts(errors: DiarizationErrors) -> tuple[float, float, float, float]:
    return errors.speech_s, errors.miss_s, errors.false_alarm_s, errors.confusion_s


@st.composite
def conversations(draw: st.DrawFn, names: str) -> list[Turn]:
    """Turns on whole seconds; one speaker's do not touch."""
    found = []
    for name in names[: draw(st.integers(1, len(names)))]:
        edges = sorted(draw(st.sets(st.integers(0, 24), min_size=2, max_size=6)))
        pairs = zip(edges[::2], edges[1::2], strict=False)
        found += [(name, float(start), float(end)) for start, end in pairs]
    return turns(*found)


def annotation(spoken: list[Turn]) -> Annotation:
    made = Annotation()
    for number, turn in enumerate(spoken):
        made[Segment(turn.start_s, turn.end_s), number] = turn.speaker
    return made


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wanted"),
    [
        # Two seconds of B are said to be A's.
        ([("A", 0, 10), ("B", 10, 20)], [("x", 0, 12), ("y", 12, 20)], (20, 0, 0, 2)),
        # Two at once, one found.
        ([("A", 0, 10), ("B", 5, 10)], [("x", 0, 10)], (15, 5, 0, 0)),
        # One at once, two found, and one goes on too long.
        ([("A", 0, 10)], [("x", 0, 12), ("y", 3, 4)], (10, 0, 3, 0)),
        # The match that is right longest, not the first: y is A for 6 s.
        ([("A", 0, 10)], [("x", 0, 4), ("y", 4, 10)], (10, 0, 0, 4)),
        ([("A", 0, 10)], [], (10, 10, 0, 0)),
        ([], [("x", 0, 3)], (0, 0, 3, 0)),
        ([], [], (0, 0, 0, 0)),
        # Turns of one speaker that overlap are one.
        ([("A", 0, 6), ("A", 4, 10)], [("x", 0, 5), ("x", 5, 10)], (10, 0, 0, 0)),
    ],
)
def test_worked_by_hand(
    reference: list[tuple[str, float, float]],
    hypothesis: list[tuple[str, float, float]],
    wanted: tuple[float, ...],
) -> None:
    assert parts(diarization_errors(turns(*reference), turns(*hypothesis))) == wanted


def test_within_the_collar_nothing_is_scored() -> None:
    reference, hypothesis = turns(("A", 0, 10)), turns(("x", 0.2, 10.7))
    assert parts(diarization_errors(reference, hypothesis)) == pytest.approx((10, 0.2, 0.7, 0))
    found = diarization_errors(reference, hypothesis, collar_s=0.25)
    assert parts(found) == pytest.approx((9.5, 0, 0.45, 0))


def test_a_corpus_is_a_rate_of_sums() -> None:
    short = diarization_errors(turns(("A", 0, 1)), [])
    long = diarization_errors(turns(("A", 0, 9)), turns(("x", 0, 9)))
    assert (short.rate, long.rate, summed([short, long]).rate) == (1.0, 0.0, 0.1)
    with pytest.raises(ValueError, match="no speech"):
        _ = diarization_errors([], turns(("x", 0, 1))).rate


@settings(max_examples=40, deadline=None)
@given(conversations("ABC"), conversations("wxyz"), st.sampled_from([0.0, 0.25]))
def test_against_pyannote(reference: list[Turn], hypothesis: list[Turn], collar_s: float) -> None:
    # Its collar is the whole width.
    metric = DiarizationErrorRate(collar=2 * collar_s)
    everything = Timeline([Segment(-1, 30)])
    wanted = metric(annotation(reference), annotation(hypothesis), uem=everything, detailed=True)
    assert isinstance(wanted, dict)
    found = diarization_errors(reference, hypothesis, collar_s=collar_s)
    assert parts(found) == pytest.approx(
        (wanted["total"], wanted["missed detection"], wanted["false alarm"], wanted["confusion"])
    )


@settings(max_examples=30, deadline=None)
@given(conversations("ABC"), conversations("xyz"))
def test_against_every_match(reference: list[Turn], hypothesis: list[Turn]) -> None:
    def speaking(spoken: list[Turn], second: int) -> set[str]:
        return {turn.speaker for turn in spoken if turn.start_s <= second < turn.end_s}

    totals = []
    for order in permutations("xyz"):
        match = dict(zip(order, "ABC", strict=True))
        wrong = 0
        for second in range(25):
            truth = speaking(reference, second)
            found = {match[name] for name in speaking(hypothesis, second)}
            wrong += max(len(truth), len(found)) - len(truth & found)
        totals.append(wrong)
    errors = diarization_errors(reference, hypothesis)
    assert sum(parts(errors)[1:]) == pytest.approx(min(totals))


def test_rttm_comes_back(tmp_path: Path) -> None:
    spoken = {"r1": tuple(turns(("A", 0.5, 1.75), ("B", 1, 2))), "r2": tuple(turns(("A", 0, 1)))}
    write_rttm(tmp_path / "a/turns.rttm", spoken)
    lines = (tmp_path / "a/turns.rttm").read_text().splitlines()
    assert lines[0] == "SPEAKER r1 1 0.500 1.250 <NA> <NA> A <NA> <NA>"
    assert read_rttm(tmp_path / "a/turns.rttm") == spoken


@pytest.mark.parametrize("line", ["SPEAKER r1 1 0.5", "SPEAKER r1 1 x 1 <NA> <NA> A <NA> <NA>"])
def test_a_line_that_is_no_rttm_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "turns.rttm").write_text(f"SPKR-INFO r1 1\n{line}\n")
    with pytest.raises(ConfigError, match=r"turns\.rttm:2: want 'SPEAKER"):
        read_rttm(tmp_path / "turns.rttm")
