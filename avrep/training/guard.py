"""Looks at every loss: one that is not finite stops the run, one that jumps is told of.

RUN/
    incidents/rank-RRRRR.jsonl    a line for each, with the clips that this rank had in its hands

`avrep replay RUN --step N` makes the step again. Steps are counted as in `metrics.jsonl`: step N is
the one after which N are done.
"""

import json
import logging
import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from avrep.errors import StepNotFinite
from avrep.pipeline.batch_digest import batch_digest
from avrep.training import parallel
from avrep.training.loop import StepRecord
from avrep.training.spikes import SpikeConfig, spike_limit
from avrep.types import Address, Batch

_FOLDER = "incidents"
_MAX_KEYS_TOLD = 3

_log = logging.getLogger(__name__)


class IncidentKind(StrEnum):
    LOSS = "loss is not finite"
    GRADIENT = "gradient is not finite"
    SPIKE = "loss spike"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A step that something was wrong with, and what one rank had in its hands then."""

    kind: IncidentKind
    step: int
    """Steps done with it."""
    rank: int
    world_size: int
    loss: float | None
    """Mean over ranks; None where it is not finite."""
    limit: float | None
    """What the loss had to stay below not to be a spike; None where nothing was known yet."""
    digest: str
    """Of this rank's batch, see `batch_digest`."""
    keys: Mapping[str, tuple[str, ...]]
    """Of the items, by corpus; the run's own is "data"."""
    addresses: Mapping[str, tuple[Address, ...]]
    """Of the clips, in the order of the keys."""


class Guard:
    """Sees every batch before its step, and every record after it; made by `guarded`."""

    def __init__(self, run_dir: Path, config: SpikeConfig, main_corpus: str) -> None:
        self._run_dir = run_dir
        self._config = config
        self._main_corpus = main_corpus
        self._losses: deque[float] = deque(maxlen=config.window_steps)
        self._batch: Batch | None = None
        self._in_spike = False

    def watch(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the last one is remembered."""
        for batch in stream:
            self._batch = batch
            yield batch

    def check(self, record: StepRecord) -> None:
        """Look at a step before anything is kept of it.

        Raises:
            StepNotFinite: its gradient was not finite, and so its weights are not.
        """
        loss = record.result.loss
        limit = spike_limit(self._losses, self._config.deviations)
        if not math.isfinite(record.result.grad_norm):
            raise StepNotFinite(
                told(self._write(IncidentKind.GRADIENT, loss, limit), self._run_dir)
            )
        if loss > limit and not self._in_spike:
            self._warn(loss, limit)
        # Steps that stay up there are of the one spike, and soon the usual.
        self._in_spike = loss > limit
        self._losses.append(loss)

    def loss_is_not_finite(self) -> StepNotFinite:
        """What to raise where a step was given up for its loss."""
        limit = spike_limit(self._losses, self._config.deviations)
        return StepNotFinite(told(self._write(IncidentKind.LOSS, None, limit), self._run_dir))

    def _warn(self, loss: float, limit: float) -> None:
        incident = self._write(IncidentKind.SPIKE, loss, limit)
        if parallel.is_first():
            _log.warning(
                "step %d: the loss jumped to %.4g, above %.4g; its clips: %s; training goes on; "
                "look at it: avrep replay %s --step %d",
                *(incident.step, loss, limit),
                *(_some_keys(incident.keys), self._run_dir, incident.step),
            )

    def _write(self, kind: IncidentKind, loss: float | None, limit: float) -> Incident:
        if self._batch is None:
            raise RuntimeError("a step was taken on a batch that the guard did not see")
        corpora = {self._main_corpus: self._batch, **self._batch.others}
        incident = Incident(
            kind=kind,
            step=self._batch.step + 1,
            rank=parallel.rank(),
            world_size=parallel.world_size(),
            loss=loss if loss is not None and math.isfinite(loss) else None,
            limit=limit if math.isfinite(limit) else None,
            digest=batch_digest(self._batch),
            keys={name: batch.keys for name, batch in corpora.items()},
            addresses={name: batch.addresses for name, batch in corpora.items()},
        )
        path = self._run_dir / _FOLDER / f"rank-{incident.rank:05d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(incident)) + "\n")
        return incident


@contextmanager
def guarded(
    run_dir: Path, config: SpikeConfig, *, first_step: int, main_corpus: str
) -> Iterator[Guard]:
    """Watch over the steps of a run while the context lasts.

    Incidents of steps after the first, which a resumed run takes again, are forgotten.

    Raises:
        StepNotFinite: a step's loss or gradient was not finite, naming the step and its clips.
    """
    _forget_after(run_dir, first_step)
    guard = Guard(run_dir, config, main_corpus)
    try:
        yield guard
    except FloatingPointError as error:
        raise guard.loss_is_not_finite() from error


def told(incident: Incident, run_dir: Path) -> str:
    """The line that a run which stopped ends with."""
    loss = "" if incident.loss is None else f" (loss {incident.loss:.4g})"
    return (
        f"step {incident.step}: the {incident.kind}{loss}; its clips: {_some_keys(incident.keys)}; no "
        "checkpoint has been touched by it; look at it: "
        f"avrep replay {run_dir} --step {incident.step}"
    )


def why_stopped(run_dir: Path) -> Incident | None:
    """What a run stopped at, the first rank's part; None where it did not stop for a loss."""
    return next(
        (one for one in read_incidents(run_dir) if one.kind is not IncidentKind.SPIKE), None
    )


def read_incidents(run_dir: Path) -> list[Incident]:
    """All incidents of a run, of all ranks, by step; a line that was cut short is passed over."""
    found = [
        _incident(line)
        for path in sorted((run_dir / _FOLDER).glob("rank-*.jsonl"))
        for line in _whole_lines(path)
    ]
    return sorted(found, key=lambda incident: (incident.step, incident.rank))


def _incident(line: str) -> Incident:
    told = json.loads(line)
    return Incident(
        **{
            **told,
            "kind": IncidentKind(told["kind"]),
            "keys": {name: tuple(keys) for name, keys in told["keys"].items()},
            "addresses": {
                name: tuple(Address(**address) for address in addresses)
                for name, addresses in told["addresses"].items()
            },
        }
    )


def _whole_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _forget_after(run_dir: Path, step: int) -> None:
    """Each rank tidies some of the files, as there may be more of them than ranks now."""
    paths = sorted((run_dir / _FOLDER).glob("rank-*.jsonl"))
    for number, path in enumerate(paths):
        if number % parallel.world_size() == parallel.rank():
            kept = [line for line in _whole_lines(path) if _incident(line).step <= step]
            path.write_text("".join(kept), encoding="utf-8")


def _some_keys(keys: Mapping[str, tuple[str, ...]]) -> str:
    listed = [key for of_corpus in keys.values() for key in of_corpus]
    more = len(listed) - _MAX_KEYS_TOLD
    return ", ".join(listed[:_MAX_KEYS_TOLD]) + (f" and {more} more" if more > 0 else "")
