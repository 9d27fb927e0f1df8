"""Measuring synchrony: at which offset a run hears that sound and pictures go together, on any videos."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from avrep.assemble import build_objective, usable_rows, use_threads
from avrep.augment.colour import normalize_
from avrep.augment.resample import crop_resize
from avrep.augment.video_params import central_box
from avrep.config import RunConfig
from avrep.errors import ConfigError
from avrep.evaluation.envelopes import envelope_scores, envelopes
from avrep.evaluation.others_pictures import OthersPictures, Score
from avrep.evaluation.sync import OffsetScores, confidence_by_window, scores_by_shift
from avrep.evaluation.sync_results import SyncClips, sync_results
from avrep.evaluation.task_result import DataFacts, EncoderFacts, TaskResult
from avrep.frozen import FrozenConfig
from avrep.losses.shift_contrast import shift_distances
from avrep.media.catalog import Catalog
from avrep.models.weights_digest import weights_digest
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.objectives.segments import ASPECT, Segments, SegmentsConfig
from avrep.objectives.synchformer import Synchformer, drawn_offsets
from avrep.objectives.syncnet import Syncnet
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.sampling.sync import SyncConfig, offsets_s
from avrep.trained import load_trained, read_run_config, start_encoders
from avrep.training import parallel
from avrep.training.inputs import move_batch
from avrep.types import Batch, Failure

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""


class SyncTaskConfig(FrozenConfig):
    """Which clips are drawn. A run of Synchformer keeps the length and the offsets that it was trained
    on, without their jitter.
    """

    clip_s: float = Field(default=5.0, gt=0)
    """Length of pictures and of sound; with segments, more than the offsets' whole range."""
    max_offset_s: float = Field(default=2.0, gt=0)
    """Sound begins up to this much before or after the pictures."""
    num_offsets: int = Field(default=21, ge=3)
    """Odd; Synchformer's grid."""
    split: str | None = None
    """Only items whose label `split` is this, such as "test"; None: all."""
    batch_size: int = Field(default=8, ge=1)


def measure_sync(
    run_dir: Path,
    catalog: Catalog,
    config: SyncTaskConfig,
    *,
    trained: bool = True,
    seed: int = 0,
    open_stream: OpenStream = plain_stream,
    progress: Progress | None = None,
) -> tuple[tuple[TaskResult, ...], SyncClips]:
    """Offset accuracy, and where the run has one space for both, retrieval across senses.

    The true offset is drawn by the sampler, on the item's clock, before anything is decoded.

    Args:
        run_dir: a run of `segment_avclip`, `syncnet` or `synchformer`.
        catalog: videos with sound.
        config: which clips.
        trained: with the newest checkpoint's weights; otherwise as the run began.
        seed: decides the clips.
        open_stream: the plain stream, or Ray's.
        progress: told how far it is.

    Raises:
        ConfigError: no such run, it knows nothing of synchrony, its segments do not fit the offsets, or
            no item is long enough.
    """
    run = read_run_config(run_dir)
    use_threads(run)
    objective = _objective(run, config)
    if trained:
        load_trained(run_dir, objective)
    else:
        start_encoders(run, objective)
    objective = objective.to(parallel.pick_device(run.train.device)).eval()
    clips = _measure(objective, catalog, run, config, seed, open_stream, progress)
    facts = EncoderFacts(
        name=str(run_dir) if trained else f"untrained:{run_dir}",
        digest=weights_digest(objective)[:16],
        num_parameters=sum(parameter.numel() for parameter in objective.parameters()),
    )
    return sync_results(clips, facts, _data_facts(catalog, clips), config.clip_s, seed), clips


def _objective(run: RunConfig, config: SyncTaskConfig) -> Segments:
    """The run's objective as it began, with the clips that are measured."""
    objective = build_objective(run)
    if isinstance(objective, Synchformer):
        exact = objective.config.sampler.model_copy(update={"jitter_s": 0.0})
        changed = objective.config.model_copy(update={"sampler": exact})
        return _rebuilt(run, changed)
    if not isinstance(objective, SegmentAvclip | Syncnet):
        raise ConfigError(
            f"the run's objective, {run.objective.kind}, knows nothing of synchrony; "
            "give a run of segment_avclip, syncnet or synchformer"
        )
    given = objective.config.sampler
    frames_per_s = given.fps / given.stride
    step_s = 2 * config.max_offset_s / (config.num_offsets - 1)
    hop_frames = round(step_s * frames_per_s)
    if hop_frames < 1 or abs(hop_frames - step_s * frames_per_s) > 1e-6:
        raise ConfigError(
            f"offsets must be whole frames apart, and these are {step_s * frames_per_s:g} of the "
            f"run's {frames_per_s:g} a second; choose another max_offset_s or num_offsets"
        )
    sampler = SyncConfig(
        num_frames=round(config.clip_s * frames_per_s),
        stride=given.stride,
        fps=given.fps,
        max_offset_s=config.max_offset_s,
        num_offsets=config.num_offsets,
        jitter_s=0.0,
    )
    changes = {"sampler": sampler, "hop_frames": hop_frames}
    changed = objective.config.model_copy(update=changes)
    if changed.num_segments < config.num_offsets:
        raise ConfigError(
            f"clips of {config.clip_s:g} s have {changed.num_segments} segments {hop_frames} frames "
            f"apart, and {config.num_offsets} offsets want as many: choose a longer clip_s, or a "
            "smaller max_offset_s"
        )
    return _rebuilt(run, changed)


def _rebuilt(run: RunConfig, changed: SegmentsConfig) -> Segments:
    objective = build_objective(run.model_copy(update={"objective": changed}))
    assert isinstance(objective, Segments)
    return objective


def _measure(
    objective: Segments,
    catalog: Catalog,
    run: RunConfig,
    config: SyncTaskConfig,
    seed: int,
    open_stream: OpenStream,
    progress: Progress | None,
) -> SyncClips:
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, SyncConfig)
    least_s = spec.sampler.duration_s + 2 * spec.sampler.reach_s
    rows = usable_rows(catalog, video=True, audio=True, least_s=least_s, split=config.split)
    plan = Sweep(seed=seed, rows=np.sort(rows), batch_size=config.batch_size)
    source = StreamSource(
        catalog=catalog,
        plan=plan,
        specs=objective.view_specs(),
        decoder=run.data.decoder,
        limits=run.data.limits,
        storage=run.data.storage,
    )
    device = next(objective.parameters()).device
    keys: list[str] = []
    failures: list[Failure] = []
    found: list[_Found] = []
    others = OthersPictures()
    with open_stream(source, range(plan.num_steps)) as stream, torch.inference_mode():
        for batch in stream:
            keys += batch.keys
            failures += batch.failures
            if batch.keys:
                view = objective.view_of(_inputs(batch, objective, device))
                one, pictures, score = _scored(objective, view, spec.sampler)
                found.append(one)
                others.add(pictures, score)
            if progress:
                progress(len(keys) + len(failures), len(rows))
    if not found:
        raise ConfigError(f"none of {len(rows)} items could be used: {failures[0].reason}")
    return _joined(tuple(keys), found, others.scores, spec.sampler, tuple(failures))


def _inputs(batch: Batch, objective: Segments, device: torch.device) -> BatchTensors:
    """The batch with nothing drawn: no mirror images, no colours changed, and the crop of tests.

    That is the central square that has `crop_px` of frames of `short_side_px`, as in Synchformer's
    released code. A run that was trained on whole frames has them whole.
    """
    moved = move_batch(batch, device)
    (host,), (view,), (augment,) = batch.views, moved.views, objective.augments()
    assert view.video is not None
    boxes = [_test_box(objective.segments, *size) for size in host.size_px.tolist()]
    never = np.zeros(len(boxes), np.bool_)
    video = crop_resize(view.video, np.array(boxes, np.int32), never, augment.crop_px)
    normalize_(video, augment.mean, augment.std)
    return replace(moved, views=(replace(view, video=video),))


def _test_box(config: SegmentsConfig, height_px: int, width_px: int) -> tuple[int, int, int, int]:
    if config.min_crop_area == 1:
        return central_box(height_px, width_px, ASPECT)
    share = config.crop_px / max(config.short_side_px or 0, config.crop_px)
    side = round(share * min(height_px, width_px))
    return (height_px - side) // 2, (width_px - side) // 2, side, side


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Of one batch."""

    numbers: Tensor
    scores: Tensor
    by_hand: Tensor | None
    embedded: tuple[Tensor, Tensor] | None
    confidence: Tensor | None


def _scored(
    objective: Segments, view: ViewTensors, sampler: SyncConfig
) -> tuple[_Found, Tensor, Score]:
    """What is found, the pictures as they are scored, and what scores the sounds with any."""
    assert view.video is not None
    assert view.audio is not None
    numbers = drawn_offsets(view, sampler)
    reach = sampler.num_offsets // 2
    by_hand = None
    hop = round(sampler.step_s * sampler.fps / sampler.stride)
    if view.video.shape[2] > 2 * reach * hop + 2:
        curves = envelopes(view.video, view.audio)
        by_hand = envelope_scores(*curves, reach, hop).scores
    if isinstance(objective, Synchformer):

        def by_class(pictures: Tensor) -> Tensor:
            return objective.logits(replace(view, video=pictures))

        found = _Found(
            numbers=numbers,
            scores=by_class(view.video),
            by_hand=by_hand,
            embedded=None,
            confidence=None,
        )
        return found, view.video, by_class
    assert isinstance(objective, SegmentAvclip | Syncnet)
    video, audio = objective.embed(view)
    distances = shift_distances(video[:, reach : video.shape[1] - reach], audio)

    def by_shift(pictures: Tensor) -> Tensor:
        return scores_by_shift(pictures, audio, reach, sampler.step_s).scores

    found = _Found(
        numbers=numbers,
        scores=by_shift(video),
        by_hand=by_hand,
        embedded=(video.mean(dim=1).float(), audio.mean(dim=1).float()),
        confidence=confidence_by_window(distances),
    )
    return found, video, by_shift


def _joined(
    keys: tuple[str, ...],
    found: list[_Found],
    others: list[Tensor],
    sampler: SyncConfig,
    failures: tuple[Failure, ...],
) -> SyncClips:
    grid = offsets_s(sampler)

    def whole(parts: Iterator[Tensor]) -> OffsetScores:
        return OffsetScores(offsets_s=grid, scores=torch.cat(list(parts)).float().cpu())

    by_hand = [each.by_hand for each in found if each.by_hand is not None]
    embedded = [each.embedded for each in found if each.embedded is not None]
    confidence = [each.confidence for each in found if each.confidence is not None]
    return SyncClips(
        keys=keys,
        numbers=torch.cat([each.numbers for each in found]).cpu(),
        scores=whole(each.scores for each in found),
        others=whole(iter(others)) if others else None,
        by_hand=whole(iter(by_hand)) if len(by_hand) == len(found) else None,
        embedded=(torch.cat([v for v, _ in embedded]), torch.cat([a for _, a in embedded]))
        if embedded
        else None,
        confidence=torch.cat(confidence).cpu() if confidence else None,
        hop_s=sampler.step_s,
        failures=failures,
    )


def _data_facts(catalog: Catalog, clips: SyncClips) -> DataFacts:
    return DataFacts(
        name=catalog.path.stem,
        digest=catalog.digest[:16],
        num_train=0,
        num_valid=0,
        num_test=len(clips.keys),
    )
