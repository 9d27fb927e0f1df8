"""Proves the way from turns to labels of frames and back, and the choice of threshold and filter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import medfilt

from avrep.evaluation.diarization import Turn
from avrep.evaluation.superb.speaker_activity import (
    GRID,
    Binarising,
    binarised_errors,
    choose_binarising,
    frame_labels,
    speaker_turns,
)

PLAIN = Binarising(threshold=0.5, median_frames=1)


def turn(speaker: str, start_s: float, end_s: float) -> Turn:
    return Turn(speaker=speaker, start_s=start_s, end_s=end_s)


def test_labels_worked_by_hand() -> None:
    turns = [turn("A", 0.0, 0.031), turn("B", 0.029, 0.2), turn("A", 0.1, 0.12)]
    labels = frame_labels(turns, ["A", "B"], range(10), 0.02, 2)
    assert labels[:, 0].tolist() == [1, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert labels[:, 1].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    # A stretch in the middle: B speaks through all of it.
    middle = frame_labels(turns, ["A", "B"], range(4, 7), 0.02, 2)
    np.testing.assert_array_equal(middle, labels[4:7])
    assert frame_labels(turns[:1], ["A"], range(2), 0.02, 2)[:, 1].tolist() == [0, 0]


def test_turns_worked_by_hand() -> None:
    likelihoods = np.array([[0.9, 0.1], [0.6, 0.1], [0.5, 0.8], [0.1, 0.8]], np.float32)
    assert speaker_turns(likelihoods, PLAIN, 0.5) == (turn("0", 0.0, 1.0), turn("1", 1.0, 2.0))
    low = Binarising(threshold=0.3, median_frames=1)
    assert speaker_turns(likelihoods, low, 0.5)[0] == turn("0", 0.0, 1.5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=40))
def test_turns_are_the_filtered_frames(rows: list[list[float]]) -> None:
    likelihoods = np.array(rows, np.float32)
    binarising = Binarising(threshold=0.4, median_frames=11)
    padded = np.pad((likelihoods > 0.4).astype(float), ((20, 20), (0, 0)))
    wanted = medfilt(padded, (11, 1))[20:-20]
    found = speaker_turns(likelihoods, binarising, 0.02)
    again = frame_labels(found, ["0", "1"], range(len(rows)), 0.02, 2)
    np.testing.assert_array_equal(again, wanted)


def test_the_grid_is_the_published_one() -> None:
    assert {(each.threshold, each.median_frames) for each in GRID} == {
        (threshold, frames) for threshold in (0.3, 0.4, 0.5, 0.6, 0.7) for frames in (1, 11)
    }


def test_the_least_error_is_chosen() -> None:
    # Speaker 0 at 0.65 with flickers above 0.6 elsewhere: only 0.6 with a filter is right.
    likelihoods = np.full((200, 2), 0.1, np.float32)
    likelihoods[:100, 0], likelihoods[150:, 0] = 0.65, 0.55
    likelihoods[110:150:10, 0] = 0.65
    references = {"r": [turn("A", 0, 2.0)]}
    chosen = choose_binarising({"r": likelihoods}, references, 0.02)
    assert chosen == Binarising(threshold=0.6, median_frames=11)
    errors = binarised_errors({"r": likelihoods}, references, chosen, 0.02)
    assert errors["r"].rate == pytest.approx(0)
    assert binarised_errors({"r": likelihoods}, references, PLAIN, 0.02)["r"].rate > 0.4
