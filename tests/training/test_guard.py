"""The guard stops on what is not finite, tells of spikes once, and writes down whose clips they were."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import StepNotFinite
from avrep.pipeline.batch_digest import batch_digest
from avrep.training.guard import Guard, IncidentKind, guarded, read_incidents
from avrep.training.loop import StepRecord
from avrep.training.spikes import SpikeConfig
from avrep.training.step import StepResult
from avrep.types import Address, Batch, View


def batch(step: int, *, shade: int = 0) -> Batch:
    view = View(
        video=np.full((2, 1, 2, 2, 3), shade, np.uint8),
        size_px=np.full((2, 2), 2, np.int32),
        pts_s=np.zeros((2, 1)),
    )
    return Batch(
        step=step,
        addresses=(Address(0, 7), Address(0, 9, 1)),
        keys=("a.mp4", "b.mp4"),
        views=(view,),
    )


def record(batch: Batch, loss: float, grad_norm: float = 1.0) -> StepRecord:
    return StepRecord(
        step=batch.step + 1,
        total_steps=100,
        lr=0.1,
        result=StepResult(loss=loss, grad_norm=grad_norm, metrics={}),
        wait_s=0.0,
        elapsed_s=1.0,
        num_clips=2,
        health={},
        batch=batch,
    )


def take(guard: Guard, losses: list[float], *, first: int = 0, grad_norm: float = 1.0) -> None:
    """Steps with these losses, as the loop takes them."""
    stream = guard.watch(iter([batch(first + number) for number in range(len(losses))]))
    for one, loss in zip(stream, losses, strict=True):
        if not math.isfinite(loss):
            raise FloatingPointError("not finite")
        guard.check(record(one, loss, grad_norm))


def watched(run: Path, losses: list[float], *, first: int = 0, grad_norm: float = 1.0) -> None:
    with guarded(run, SpikeConfig(), first_step=first, main_corpus="data") as guard:
        take(guard, losses, first=first, grad_norm=grad_norm)


def test_a_loss_that_is_not_finite_stops_the_run_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StepNotFinite) as error:
        watched(tmp_path, [1.0, 1.0, math.nan])
    said = str(error.value)
    assert said.startswith("step 3: the loss is not finite; its clips: a.mp4, b.mp4; ")
    assert said.endswith(f"look at it: avrep replay {tmp_path} --step 3")
    assert "\n" not in said
    (incident,) = read_incidents(tmp_path)
    assert incident.kind is IncidentKind.LOSS
    assert (incident.step, incident.loss, incident.rank, incident.world_size) == (3, None, 0, 1)
    assert incident.keys == {"data": ("a.mp4", "b.mp4")}
    assert incident.addresses == {"data": (Address(0, 7), Address(0, 9, 1))}
    assert incident.digest == batch_digest(batch(2))


def test_a_gradient_that_is_not_finite_stops_it_before_anything_is_kept(tmp_path: Path) -> None:
    with pytest.raises(StepNotFinite, match=r"step 1: the gradient is not finite \(loss 2\.5\)"):
        watched(tmp_path, [2.5], grad_norm=math.inf)
    assert read_incidents(tmp_path)[0].kind is IncidentKind.GRADIENT


def test_a_spike_is_told_once_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calm = [1.0 + 0.01 * (number % 5) for number in range(30)]
    with caplog.at_level(logging.WARNING):
        watched(tmp_path, [*calm, 9.0, 9.5, 1.0, 8.0, 1.0])
    # Steps 31 and 32 are one spike, step 34 is another.
    assert [incident.step for incident in read_incidents(tmp_path)] == [31, 34]
    first = read_incidents(tmp_path)[0]
    assert first.kind is IncidentKind.SPIKE
    assert first.loss == 9.0
    assert first.limit is not None
    assert 1.04 < first.limit < 1.4
    messages = [entry.getMessage() for entry in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith("step 31: the loss jumped to 9, above 1.")
    assert f"avrep replay {tmp_path} --step 31" in messages[0]


def test_a_run_that_resumes_forgets_what_it_will_come_past_again(tmp_path: Path) -> None:
    with pytest.raises(StepNotFinite):
        watched(tmp_path, [*[1.0] * 30, 5.0, math.nan])
    with (tmp_path / "incidents" / "rank-00000.jsonl").open("a") as file:
        file.write('{"kind": "loss spi')
    assert [incident.step for incident in read_incidents(tmp_path)] == [31, 32]
    watched(tmp_path, [1.0], first=31)
    assert [incident.step for incident in read_incidents(tmp_path)] == [31]
    watched(tmp_path, [1.0], first=0)
    assert read_incidents(tmp_path) == []


def test_the_lines_are_json_that_any_reader_takes(tmp_path: Path) -> None:
    with pytest.raises(StepNotFinite):
        watched(tmp_path, [math.inf])
    (line,) = (tmp_path / "incidents" / "rank-00000.jsonl").read_text().splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(line, parse_constant=refuse)["addresses"]["data"][1] == {
        "epoch": 0,
        "item": 9,
        "draw": 1,
    }


def test_the_digest_tells_batches_apart_by_all_that_they_hold() -> None:
    plain = batch(3)
    with_other = Batch(
        step=3,
        addresses=plain.addresses,
        keys=plain.keys,
        views=plain.views,
        others={"speech": batch(3)},
    )
    digests = {batch_digest(one) for one in (plain, batch(4), batch(3, shade=1), with_other)}
    assert len(digests) == 4
    assert batch_digest(batch(3)) == batch_digest(plain)
