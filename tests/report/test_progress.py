"""The progress line names the bottleneck, does not flicker, and fits the terminal it is on."""

import json
import os
import pty
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from avrep.report import progress
from avrep.report.train_facts import TrainFacts
from avrep.report.train_progress import line_progress, train_progress
from avrep.training.loop import StepRecord
from avrep.training.recorder import numbers
from avrep.training.step import StepResult
from avrep.training.step_clock import StepTimes
from avrep.types import Batch, StageTimes


def record(
    step: int, wait_share: float, spent: StageTimes, elapsed_s: float = 0.5, total_steps: int = 1200
) -> StepRecord:
    wait_s = wait_share * elapsed_s
    return StepRecord(
        step=step,
        total_steps=total_steps,
        lr=0.1,
        result=StepResult(loss=5.1234, grad_norm=1.0, metrics={}),
        wait_s=wait_s,
        elapsed_s=elapsed_s,
        num_clips=64,
        health={},
        batch=Batch(step=step - 1, addresses=(), keys=(), views=(), spent=spent),
        times=StepTimes(
            num_steps=1, elapsed_s=elapsed_s, wait_s=wait_s, compute_s=elapsed_s - wait_s
        ),
    )


def slow_decode(step: int) -> StepRecord:
    return record(step, 0.62, StageTimes(storage_s=0.1, decode_s=0.6))


def computing(step: int) -> StepRecord:
    return record(step, 0.02, StageTimes(decode_s=0.6))


Say = Callable[[list[StepRecord]], list[str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Say:
    """Gives the plain lines of a log, one a record."""
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)

    def lines(records: list[StepRecord]) -> list[str]:
        with train_progress("training") as on_step:
            for one in records:
                on_step(one)
        return capfd.readouterr().err.splitlines()

    return lines


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, list[StepRecord]], list[str]]:
    """Gives the lines that stood on a terminal, the last of each drawing."""

    def lines(title: str, width: int, records: list[StepRecord]) -> list[str]:
        master, slave = pty.openpty()
        read: list[bytes] = []

        def drain() -> None:
            try:
                while data := os.read(master, 65536):
                    read.append(data)
            except OSError:
                return  # What Linux says when the other end is closed.

        reader = threading.Thread(target=drain)
        reader.start()
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm-256color")
        with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            with train_progress(title) as on_step:
                for one in records:
                    on_step(one)
        reader.join()
        os.close(master)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(read).decode())
        return [line for line in re.split(r"[\r\n]+", text) if line.strip()]

    return lines


def test_a_plain_line_worked_by_hand(say: Say) -> None:
    (line,) = say([record(1, 0.62, StageTimes(storage_s=0.1, decode_s=0.6), total_steps=122)])
    assert line == (
        "training 1/122 loss 5.123  128.0 clips/s  waiting for decode 62 %  0:01:00 left"
    )


def test_training_elsewhere_gives_the_same_lines(
    capfd: pytest.CaptureFixture[str], say: Say
) -> None:
    """From metrics as several trainers leave them: a line for each two steps, of equal length."""
    records = [slow_decode(step) for step in range(1, 9)]
    here = say(records)[1::2]
    with line_progress("training") as on_line:
        for pair in zip(records[::2], records[1::2], strict=True):
            on_line(json.dumps({"step": pair[1].step, **numbers(pair)}) + "\n")
    there = capfd.readouterr().err.splitlines()
    assert there == here
    assert (
        there[-1]
        == "training 8/1200 loss 5.123  128.0 clips/s  waiting for decode 62 %  0:09:56 left"
    )


def test_memory_and_collapse_stand_in_the_line_and_memory_gives_way_first() -> None:
    facts = TrainFacts(
        step=5,
        total_steps=10,
        loss=1.5,
        clips_per_s=20.0,
        verdict=None,
        left_s=7325.4,
        gpu_peak_bytes=int(12.5 * 2**30),
        gpu_bytes=80 * 2**30,
    )
    assert facts.fitting(200) == "loss 1.500  20.0 clips/s  starting  GPU 12.5/80 GiB"
    assert facts.fitting(50) == "loss 1.500  20.0 clips/s  starting"
    assert facts.fitting(30) == "loss 1.500  starting"
    assert facts.left == "2:02:05"
    loud = replace(facts, collapsed=("audio",))
    assert loud.fitting(200).endswith("GPU 12.5/80 GiB  COLLAPSED: audio")
    assert loud.fitting(60) == "loss 1.500  20.0 clips/s  starting  COLLAPSED: audio"
    assert loud.fitting(45) == "loss 1.500  starting  COLLAPSED: audio"


def test_a_collapse_is_shown_until_the_features_live_again(say: Say) -> None:
    records = [
        replace(computing(step), health=health)
        for step, health in (
            (1, {"video_feature_std": 0.5, "audio_feature_std": 0.001}),
            (2, {}),
            (3, {"video_feature_std": 0.5, "audio_feature_std": 0.3}),
            (4, {}),
        )
    ]
    assert ["COLLAPSED: audio" in line for line in say(records)] == [True, True, False, False]


def test_the_verdict_follows_the_run_window_by_window(say: Say) -> None:
    """Windows of five steps that last 2.5 s: the third is the first without waiting."""
    records = [slow_decode(step) for step in range(1, 11)]
    records += [computing(step) for step in range(11, 21)]
    said = [line.split("  ")[2] for line in say(records)]
    assert said[:14] == ["waiting for decode 62 %"] * 14
    assert said[14:] == ["compute-bound, waiting 2 %"] * 6


def test_single_odd_steps_do_not_flicker(say: Say) -> None:
    """Every seventh step a checkpoint of two steps' length; no window of five is mostly that."""
    records = [
        record(step, 0.1, StageTimes(decode_s=0.5))
        if step % 7
        else record(step, 0.7, StageTimes(decode_s=0.5), elapsed_s=1.0)
        for step in range(1, 60)
    ]
    said = {line.split("  ")[2].partition(",")[0] for line in say(records)}
    assert said == {"compute-bound"}


def test_near_ties_do_not_flicker(say: Say) -> None:
    """Waiting 48 and 52 % by turns, for two stages that lead by turns: one name throughout."""
    records = [
        record(step, 0.52 if block % 2 else 0.49, StageTimes(storage_s=1, decode_s=1 + shift))
        for step in range(1, 101)
        for block in [(step - 1) // 5 + 1]
        for shift in [0.05 if block % 4 < 2 else -0.05]
    ]
    said = {line.split("  ")[2].rpartition(" ")[0][:-3].rstrip() for line in say(records)}
    assert len(said) == 1


def test_before_anything_is_measured_the_line_says_so(say: Say) -> None:
    first = replace(record(1, 0.5, StageTimes()), times=StepTimes())
    assert "  starting  " in say([first])[0]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("title", ["training", "pretraining seed0"])
def test_the_line_fits_the_terminal_and_keeps_what_matters(
    draw: Callable[[str, int, list[StepRecord]], list[str]], title: str, width: int
) -> None:
    slow = StageTimes(convert_s=0.6)
    records = [record(step, 1.0, slow, total_steps=9999) for step in range(1, 9)]
    last = draw(title, width, records)[-1]
    assert len(last) <= width
    assert "\u2026" not in last
    for part in (title, "8/9999", "loss 5.123", "waiting for conversion 100 %"):
        assert part in last
    assert re.search(r"\d:\d\d:\d\d|-:--:--", last)
    # The speed gives way first, and a bar is drawn only where it has eight columns at least.
    assert ("clips/s" in last) == (width >= 100)
    assert ("\u2501" in last) == (width >= 84 + len(title) + 8)
