"""What is written of a window of steps is what its records add up to."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avrep.training.loop import StepRecord
from avrep.training.recorder import Recorder, memory_numbers, numbers
from avrep.training.step import StepResult
from avrep.training.step_clock import StepTimes
from avrep.types import Batch, StageTimes


def record(step: int, times: StepTimes, spent: StageTimes, elapsed_s: float) -> StepRecord:
    return StepRecord(
        step=step,
        total_steps=20,
        lr=0.5,
        result=StepResult(loss=step / 2, grad_norm=3.0, metrics={"top1": 0.25}),
        wait_s=0.25 * elapsed_s,
        elapsed_s=elapsed_s,
        num_clips=8,
        health={"feature_std": 0.75},
        batch=Batch(step=step - 1, addresses=(), keys=(), views=(), spent=spent),
        times=times,
    )


# A device that lags: the last record tells of two steps, the third is not told of yet.
WINDOW = (
    record(8, StepTimes(), StageTimes(storage_s=1.0, decode_s=3.0), 2.0),
    record(9, StepTimes(), StageTimes(storage_s=0.75, decode_s=1.0), 2.0),
    record(
        10,
        StepTimes(
            num_steps=2, elapsed_s=8.0, wait_s=5.0, transfer_s=0.5, augment_s=1.0, compute_s=1.25
        ),
        StageTimes(storage_s=0.5, demux_s=0.25, decode_s=2.0, convert_s=1.0),
        4.0,
    ),
)


def test_a_line_worked_by_hand() -> None:
    assert numbers(WINDOW) == {
        "total_steps": 20,
        "loss": 5.0,
        "lr": 0.5,
        "grad_norm": 3.0,
        "clips_per_s": 3.0,
        "wait_share": 0.25,
        "elapsed_s": 8.0,
        "bottleneck": "decode",
        "step_wait_s": 2.5,
        "step_transfer_s": 0.25,
        "step_augment_s": 0.5,
        "step_compute_s": 0.625,
        "step_other_s": 0.125,
        "stream_storage_s": 0.75,
        "stream_demux_s": 0.25 / 3,
        "stream_decode_s": 2.0,
        "stream_convert_s": 1.0 / 3,
        "top1": 0.25,
        "feature_std": 0.75,
    }


def test_the_decode_actors_of_all_corpora_are_counted() -> None:
    last = WINDOW[-1]
    assert "decode_actors" not in numbers(WINDOW)
    speech = replace(last.batch, num_decoders=3)
    batch = replace(last.batch, num_decoders=2, others={"speech": speech})
    assert numbers([replace(last, batch=batch)])["decode_actors"] == 5


def test_where_no_time_was_measured_none_is_written() -> None:
    line = numbers(WINDOW[:1])
    assert line["loss"] == 4.0
    assert not any(name.startswith(("step_", "stream_")) or name == "bottleneck" for name in line)


def test_the_json_line_and_tensorboard_say_the_same(tmp_path: Path) -> None:
    line = numbers(WINDOW)
    with Recorder(tmp_path) as recorder:
        recorder.write(10, line)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 10, **line}
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    shown = {name: board.Scalars(name) for name in board.Tags()["scalars"]}
    assert {name: events[0].value for name, events in shown.items()} == pytest.approx(
        {name: value for name, value in line.items() if not isinstance(value, str)}
    )
    assert {event.step for events in shown.values() for event in events} == {10}


def test_after_a_cut_back_tensorboard_has_each_step_once(tmp_path: Path) -> None:
    """Killed after step 7, resumed from the checkpoint of step 4."""
    with Recorder(tmp_path) as recorder:
        for step in range(1, 8):
            recorder.write(step, {"loss": float(step)})
    with Recorder(tmp_path, steps_done=4) as recorder:
        for step in range(5, 9):
            recorder.write(step, {"loss": 10.0 * step})
    board = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    board.Reload()
    told = [(event.step, event.value) for event in board.Scalars("loss")]
    assert told == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 50), (6, 60), (7, 70), (8, 80)]


def test_the_memory_of_a_gpu_is_written_and_of_a_cpu_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert memory_numbers(torch.device("cpu")) == {}
    asked: list[torch.device] = []
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device: asked.append(device) or 5
    )
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(total_memory=80)
    )
    device = torch.device("cuda", 1)
    assert memory_numbers(device) == {"gpu_peak_bytes": 5, "gpu_bytes": 80}
    assert asked == [device]
