"""What was found of clips with drawn offsets, as numbers that can be quoted."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from avrep.evaluation.cross_modal import cross_modal_retrieval
from avrep.evaluation.metrics import mean_interval
from avrep.evaluation.sync import OffsetScores
from avrep.evaluation.task_result import DataFacts, EncoderFacts, Metric, TaskResult, as_metric
from avrep.types import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncClips:
    """What was found for every clip that could be decoded."""

    keys: tuple[str, ...]
    numbers: Tensor
    """int64[n]: the offset that each was drawn with."""
    scores: OffsetScores
    others: OffsetScores | None
    """Of the same sounds with another clip's pictures, where nothing can be heard to go together; None
    of one clip alone."""
    by_hand: OffsetScores | None
    """Of what needs no learning; None where clips are too short for it."""
    embedded: tuple[Tensor, Tensor] | None
    """Of pictures and sound, float32[n d], where the run has one space for both."""
    confidence: Tensor | None
    """float32[n m], of each window that has sound at every offset: see `confidence_by_window`."""
    hop_s: float
    """From one window to the next."""
    failures: tuple[Failure, ...] = field(default=())


def sync_results(
    clips: SyncClips, encoder: EncoderFacts, data: DataFacts, clip_s: float, seed: int
) -> tuple[TaskResult, ...]:
    """The numbers of one encoder."""
    sampler = clips.scores.offsets_s
    settings: dict[str, str | int | float | bool] = {
        "num_offsets": len(sampler),
        "max_offset_s": max(sampler),
        "clip_s": clip_s,
        "seed": seed,
    }
    notes = tuple(f"{failure.key} left out: {failure.reason}" for failure in clips.failures[:3])
    if len(clips.failures) > 3:
        notes = (*notes, f"{len(clips.failures)} items left out in all")
    if clips.others is None:
        notes = (*notes, "one clip alone: there are no other's pictures to hear it with")
    results = [
        TaskResult(
            task="sync",
            protocol="offset",
            protocol_version=1,
            encoder=encoder,
            data=data,
            metrics=_offset_metrics(clips, seed),
            settings=settings,
            notes=notes,
        )
    ]
    if clips.embedded is not None:
        video, audio = (side.cpu().numpy() for side in clips.embedded)
        results.append(
            TaskResult(
                task="av_retrieval",
                protocol="cosine",
                protocol_version=1,
                encoder=encoder,
                data=data,
                metrics=cross_modal_retrieval(video, audio, clips.keys, seed=seed),
                settings=settings,
                notes=notes,
            )
        )
    return tuple(results)


def _offset_metrics(clips: SyncClips, seed: int) -> tuple[Metric, ...]:
    k = len(clips.scores.offsets_s)
    metrics = [
        _metric("offset_top1", _hits(clips.scores, clips.numbers, 0), clips.keys, seed, 1 / k),
        # At the ends of the grid one offset fewer is within one.
        _metric(
            "offset_within_1",
            _hits(clips.scores, clips.numbers, 1),
            clips.keys,
            seed,
            (3 * k - 2) / k**2,
        ),
    ]
    if clips.others is not None:
        hits = _hits(clips.others, clips.numbers, 0)
        metrics.append(_metric("offset_top1_other_pictures", hits, clips.keys, seed, 1 / k))
    if clips.by_hand is not None:
        hits = _hits(clips.by_hand, clips.numbers, 0)
        metrics.append(_metric("offset_top1_envelopes", hits, clips.keys, seed, 1 / k))
    return tuple(metrics)


def _hits(scores: OffsetScores, numbers: Tensor, within: int) -> np.ndarray:
    return ((scores.best() - numbers).abs() <= within).double().cpu().numpy()


def _metric(
    name: str, values: np.ndarray, keys: tuple[str, ...], seed: int, chance: float
) -> Metric:
    spread = mean_interval([values], [keys], seed=seed)
    return as_metric(name, spread, len(keys), chance=chance)
