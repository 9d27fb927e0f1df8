"""Real training runs that are slow in one known place, and the run says which."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from avrep.config import RunConfig
from avrep.objectives.cvrl import Cvrl
from avrep.pipeline.example import StreamSource
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.pretrain import pretrain
from avrep.report.html import write_report
from avrep.training import copy_ahead, loop
from avrep.training.loop import StepRecord
from avrep.training.step_clock import StepClock
from avrep.training.verdict import Bottleneck
from avrep.types import Batch, StageTimes

MakeConfig = Callable[..., RunConfig]
# Many times what a tiny step takes, so that a busy machine does not change who is slowest.
SLOW_S = 0.4
NOTHING = StageTimes()


@pytest.fixture(scope="module", autouse=True)
def _warm(tiny_run: Path) -> Path:
    """A run before these: the first step of a process imports for seconds, which is no bottleneck."""
    return tiny_run


def stream_of(pause_s: float = 0.0, spent: StageTimes = NOTHING) -> OpenStream:
    """Batches made beforehand, each given after `pause_s`, that say that `spent` was spent."""

    @contextmanager
    def open_stream(
        source: StreamSource, steps: range, rank: int = 0, world_size: int = 1
    ) -> Iterator[Iterator[Batch]]:
        with plain_stream(source, steps, rank, world_size) as stream:
            yield slowed(list(stream))

    def slowed(batches: list[Batch]) -> Iterator[Batch]:
        for batch in batches:
            time.sleep(pause_s)
            yield replace(batch, spent=spent)

    return open_stream


def last_line(run: Path) -> dict[str, float | str]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize(
    ("field", "stage"),
    [
        ("storage_s", Bottleneck.STORAGE),
        ("demux_s", Bottleneck.DEMUX),
        ("decode_s", Bottleneck.DECODE),
        ("convert_s", Bottleneck.CONVERSION),
    ],
)
def test_a_slow_stage_of_the_stream_is_named(
    tiny_config: MakeConfig, tmp_path: Path, field: str, stage: Bottleneck
) -> None:
    spent = StageTimes(**{field: SLOW_S})
    records: list[StepRecord] = []
    pretrain(
        tiny_config(num_steps=2, log_every_steps=2),
        tmp_path / "run",
        open_stream=stream_of(SLOW_S, spent),
        on_step=records.append,
    )
    line = last_line(tmp_path / "run")
    assert line["bottleneck"] == stage
    assert float(line["step_wait_s"]) >= SLOW_S
    assert line[f"stream_{field}"] == SLOW_S
    page = write_report(tmp_path / "run").read_text()
    assert f"<b>Waiting for {stage}</b>" in page
    assert f"of the time, 100 % of that for {stage}." in page
    # Every step's own account adds up to the step.
    for record in records:
        times = record.times
        assert times.wait_s == record.wait_s
        assert times.elapsed_s == record.elapsed_s
        parts_s = times.wait_s + times.transfer_s + times.augment_s + times.compute_s
        assert 0 < parts_s <= times.elapsed_s
        assert min(times.transfer_s, times.augment_s, times.compute_s) > 0


def test_a_stream_whose_stages_do_not_explain_the_waiting(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    stream = stream_of(SLOW_S, StageTimes(decode_s=0.001))
    pretrain(tiny_config(num_steps=1, warmup_steps=0), tmp_path / "run", open_stream=stream)
    assert last_line(tmp_path / "run")["bottleneck"] == "stream"
    assert "<b>Waiting for the stream</b>" in write_report(tmp_path / "run").read_text()


def test_a_large_model_is_compute_bound(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config(num_steps=1, warmup_steps=0)
    assert config.video_encoder is not None
    large = config.video_encoder.model_copy(update={"base_width": 40})
    config = config.model_copy(update={"video_encoder": large})
    pretrain(config, tmp_path / "run", open_stream=stream_of())
    line = last_line(tmp_path / "run")
    assert line["bottleneck"] == "compute"
    assert "<b>Compute-bound</b>" in write_report(tmp_path / "run").read_text()


def test_what_an_objective_does_after_a_step_is_compute(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cvrl, "after_step", lambda *_: time.sleep(SLOW_S))
    config = tiny_config(num_steps=1, warmup_steps=0)
    pretrain(config, tmp_path / "run", open_stream=stream_of())
    line = last_line(tmp_path / "run")
    assert line["bottleneck"] == "compute"
    assert float(line["step_compute_s"]) >= SLOW_S


@pytest.mark.parametrize(
    ("module", "function", "part"),
    [
        (copy_ahead, "move_batch", Bottleneck.TRANSFER),
        (loop, "augment_batch", Bottleneck.AUGMENTATION),
    ],
)
def test_slow_transfer_and_augmentation_are_told_apart(
    tiny_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    function: str,
    part: Bottleneck,
) -> None:
    real = getattr(module, function)

    def slow(*given: object) -> object:
        time.sleep(SLOW_S)
        return real(*given)

    monkeypatch.setattr(module, function, slow)
    config = tiny_config(num_steps=1, warmup_steps=0)
    pretrain(config, tmp_path / "run", open_stream=stream_of())
    assert last_line(tmp_path / "run")["bottleneck"] == part


def test_time_between_steps_is_counted_in_the_step_after(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    def on_step(_record: StepRecord) -> None:
        time.sleep(SLOW_S)

    config = tiny_config(num_steps=2)
    pretrain(config, tmp_path / "run", open_stream=stream_of(), on_step=on_step)
    line = last_line(tmp_path / "run")
    assert line["bottleneck"] == "other"
    assert float(line["step_other_s"]) >= SLOW_S


class Behind:
    """A device whose work is done only when it is waited for."""

    def __init__(self) -> None:
        self._asked = count()
        self._done = -1

    def now(self) -> int:
        return next(self._asked)

    def passed(self, instant: int, /) -> bool:
        return instant <= self._done

    def wait_for(self, instant: int, /) -> None:
        self._done = instant

    def between_s(self, first: int, last: int, /) -> float:
        return float(last - first)


def test_a_device_is_waited_for_on_logged_steps_only_and_no_step_is_lost(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "clock_for", lambda _device: StepClock(Behind()))
    records: list[StepRecord] = []
    config = tiny_config(num_steps=5, log_every_steps=2)
    pretrain(config, tmp_path / "run", open_stream=stream_of(), on_step=records.append)
    assert [record.times.num_steps for record in records] == [0, 2, 0, 2, 1]
    assert [record.times.compute_s for record in records] == [0, 2, 0, 2, 1]
    assert sum(r.times.elapsed_s for r in records) == pytest.approx(
        sum(r.elapsed_s for r in records)
    )
