"""What a network says of some videos, seen by several clips and crops; goes on where it stopped.

FILE.safetensors
    rows       int64[m], catalogue rows done, in the order asked
    scores     float32[m ...]
    header     `digest`: of what was asked; `step`: batches done; `failures`: as JSON
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from avrep.augment.eval_crops import CropConfig, crop_views
from avrep.errors import ConfigError
from avrep.media.put_in_place import put_in_place
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import OpenStream
from avrep.recognition.data import TaskVideos
from avrep.sampling.spec import ViewSpec
from avrep.transfer import to_device
from avrep.types import Batch, Failure, RowNumbers

Scorer = Callable[[Iterator[Tensor]], Tensor]
"""A batch's clips, one view after the other, each float[b crops 3 t h w] -> float[b ...]."""

_SAVE_EVERY_BATCHES = 25
_FAILURES = TypeAdapter(tuple[Failure, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScores:
    """Scores of the videos that could be decoded, in the order asked."""

    rows: RowNumbers
    scores: npt.NDArray[np.float32]
    """float32[n ...]"""
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """Where scores are kept while they are made."""

    path: Path
    digest: str
    """Of whatever decides them: weights, clips, crops. With another, nothing is taken over."""


@torch.inference_mode()
def score_rows(
    data: TaskVideos,
    rows: RowNumbers,
    spec: ViewSpec,
    crops: CropConfig,
    scorer: Scorer,
    *,
    batch_size: int,
    device: torch.device,
    open_stream: OpenStream,
    kept: Progressed | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> RowScores:
    """Ask a network about each video.

    Args:
        data: where they are.
        rows: which of the catalogue, at least one.
        spec: their clips, from a dense sampler.
        crops: what is cut from each clip.
        scorer: the network, in evaluation mode.
        batch_size: videos at a time.
        device: of the network.
        open_stream: the plain stream, or Ray's.
        kept: where to go on from and to write down what is done; None: nothing is kept.
        on_batch: told how many batches are done.

    Raises:
        ConfigError: not one video could be decoded.
    """
    sweep = Sweep(seed=0, rows=rows, batch_size=batch_size)
    done, first_step = _read(kept) if kept else (None, 0)
    parts = [] if done is None else [done]
    if on_batch:
        on_batch(first_step)
    if first_step < sweep.num_steps:
        with open_stream(data.source(sweep, spec), range(first_step, sweep.num_steps)) as stream:
            for batch in stream:
                parts.append(_score(batch, crops, scorer, device))
                num_done = batch.step + 1
                if kept and (num_done % _SAVE_EVERY_BATCHES == 0 or num_done == sweep.num_steps):
                    parts = [_joined(parts)]
                    _write(kept, parts[0], num_done)
                if on_batch:
                    on_batch(num_done)
    found = _joined(parts)
    if len(found.rows) == 0:
        first = found.failures[0]
        raise ConfigError(
            f"none of {len(rows)} videos could be decoded; {first.key}: {first.reason}"
        )
    return found


def num_batches(rows: RowNumbers, batch_size: int) -> int:
    """How many batches `score_rows` takes."""
    return Sweep(seed=0, rows=rows, batch_size=batch_size).num_steps


def _score(batch: Batch, crops: CropConfig, scorer: Scorer, device: torch.device) -> RowScores:
    if not batch.addresses:
        empty = np.zeros(0, np.int64), np.zeros((0,), np.float32)
        return RowScores(rows=empty[0], scores=empty[1], failures=batch.failures)

    def views() -> Iterator[Tensor]:
        for view in batch.views:
            if view.video is None:
                raise ValueError("an item without video cannot be asked about")
            yield crop_views(to_device(view.video, device), view.size_px, crops)

    return RowScores(
        rows=np.array([address.item for address in batch.addresses], np.int64),
        scores=scorer(views()).float().cpu().numpy(),
        failures=batch.failures,
    )


def _joined(parts: list[RowScores]) -> RowScores:
    some = [part.scores for part in parts if len(part.rows)]
    return RowScores(
        rows=np.concatenate([part.rows for part in parts]),
        scores=np.concatenate(some) if some else np.zeros((0,), np.float32),
        failures=tuple(failure for part in parts for failure in part.failures),
    )


def _write(kept: Progressed, done: RowScores, step: int) -> None:
    kept.path.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.path.with_name(kept.path.name + ".partial")
    failures = json.dumps([asdict(failure) for failure in done.failures])
    header = {"digest": kept.digest, "step": str(step), "failures": failures}
    save_file({"rows": done.rows, "scores": done.scores}, partial, metadata=header)
    put_in_place(partial, kept.path)


def _read(kept: Progressed) -> tuple[RowScores | None, int]:
    """What is done of the same; a file of something else, or a damaged one, is begun anew."""
    if not kept.path.is_file():
        return None, 0
    try:
        with safe_open(kept.path, framework="np") as file:
            header: dict[str, Any] = file.metadata() or {}
            if header.get("digest") != kept.digest:
                return None, 0
            failures = _FAILURES.validate_json(header["failures"])
            done = RowScores(
                rows=file.get_tensor("rows"), scores=file.get_tensor("scores"), failures=failures
            )
            return done, int(header["step"])
    except (SafetensorError, ValidationError, KeyError, ValueError):
        return None, 0
