"""Results on a terminal: one line a metric, in percent, within 80 columns."""

import dataclasses

import pytest

from avrep.evaluation.results import EvalRow
from avrep.report.terminal import print_results

PRETRAINED = EvalRow(
    task="catalog",
    protocol="linear",
    label="class",
    encoder="pretrained",
    metric="top1",
    value=0.5176,
    ci_low=0.49,
    ci_high=0.541,
    num_test=3783,
    num_clusters=707,
    chance=0.0101,
    fold=None,
    seed=0,
)
UNTRAINED = dataclasses.replace(
    PRETRAINED, encoder="untrained", value=0.12, ci_low=0.1, ci_high=0.14
)
DIFFERENCE = dataclasses.replace(
    PRETRAINED, encoder="difference", value=0.3976, ci_low=0.37, ci_high=0.4301, chance=0.0
)


def test_a_line_has_both_encoders_their_difference_and_chance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    instance = [
        dataclasses.replace(row, protocol="instance", label="video", metric="R@1")
        for row in (PRETRAINED, UNTRAINED, DIFFERENCE)
    ]
    print_results([PRETRAINED, UNTRAINED, DIFFERENCE, *instance])
    header, first, second, foot = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["label", "protocol", "pretrained", "untrained"]
    assert first.split() == ["video", "instance", "R@1", *second.split()[3:]]
    assert second.split() == [
        *("class", "linear", "top1", "51.8", "12.0"),
        *("+39.8", "[+37,", "+43]", "1.0"),
    ]
    assert "3783 test videos" in foot
    assert max(map(len, (header, first, second, foot))) <= 80


def test_one_encoder_alone_leaves_the_others_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_results([PRETRAINED])
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("class", "linear", "top1", "51.8", "1.0")
    ]


def test_what_holds_for_all_numbers_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    seen = "the encoder was trained on 9 of these 9 test videos, without labels"
    linear = dataclasses.replace(PRETRAINED, note=f"l2 1; {seen}")
    knn = dataclasses.replace(PRETRAINED, protocol="knn", note=f"k 20; {seen}")
    print_results([linear, knn, UNTRAINED])
    told = capsys.readouterr().out
    assert told.count(seen) == 1
    assert "l2 1" not in told
    assert "k 20" not in told
