"""Synchrony: which shift of the sound goes with the pictures, of 21, on items never trained on.

Every clip's sound is in time, so an encoder that favours the middle for another reason than what it
sees and hears would look good. Two things guard against that: a segment's features know of nothing
before or after it, and the same count is taken with the pictures of another item, where nothing but
such a leak could find the middle.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avrep.assemble import build_objective, usable_rows
from avrep.config import RunConfig
from avrep.evaluation.sync import OffsetScores, scores_by_shift
from avrep.media.catalog import Catalog
from avrep.objectives.base import ViewTensors
from avrep.objectives.segment_avclip import SegmentAvclip, SegmentAvclipConfig
from avrep.objectives.segments import RATE_HZ
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import plain_stream
from avrep.pretrain import read_run_config
from avrep.sampling.sync import SyncConfig
from avrep.training.checkpoint import latest_checkpoint, load_checkpoint
from avrep.training.inputs import to_inputs
from evidence.cells import Cell
from evidence.corpora import folder_catalog, synthetic_catalog
from evidence.training import train_run

REACH = 10
"""Windows that the sound is shifted by at most, either way: 21 offsets."""
_HOP_FRAMES = 2
_NUM_FRAMES = 70
"""2.8 s at 25 frames a second, of items of 3 s: 34 windows of 4 frames, the middle 14 of which have
sound at every shift."""
_BATCH = 16
_BASELINE = "correlation of how much pictures change with how loud the sound is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A corpus's clips."""

    keys: tuple[str, ...]
    views: tuple[ViewTensors, ...]


def measure_offsets(work: Path, pictures: Path, seed: int) -> list[Cell]:
    """Train segment AVCLIP on synthetic videos; find shifts on others and on real talking heads.

    Args:
        work: the folder of all runs.
        pictures: not used.
        seed: the run's.
    """
    del pictures
    catalog = synthetic_catalog(work)
    run = train_run(work, "segment_avclip", catalog, seed)
    config = read_run_config(run.folder)
    trained, untrained = (_long_clips(config) for _ in range(2))
    load_checkpoint(latest_checkpoint(run.folder), trained)
    held_out = _shown(trained, catalog, split="test")
    heads = _shown(trained, folder_catalog(work, "av/grid"))
    scores = {
        name: [offset_scores(objective.eval(), shown.views) for shown in (held_out, heads)]
        for name, objective in (("trained", trained), ("untrained", untrained))
    }
    others = [
        offset_scores(objective, held_out.views, others=True) for objective in (trained, untrained)
    ]
    by_hand = [_by_hand(shown.views) for shown in (held_out, heads)]
    facts = run.facts
    method, chance = "segment_avclip", 1 / (2 * REACH + 1)
    return [
        Cell(
            method=method,
            question="which of 21 shifts of the sound goes with the pictures",
            seed=seed,
            keys=list(held_out.keys),
            clusters=list(held_out.keys),
            trained=found_middle(scores["trained"][0]),
            untrained=found_middle(scores["untrained"][0]),
            baseline=found_middle(by_hand[0]),
            baseline_name=_BASELINE,
            chance=chance,
            note="synthetic videos, shifts of 0.08 s up to 0.8 s either way; only an exact hit counts",
            facts=facts,
        ),
        Cell(
            method=method,
            question="control: the same with another item's pictures, where none can be right",
            seed=seed,
            keys=list(held_out.keys),
            clusters=list(held_out.keys),
            trained=found_middle(others[0]),
            untrained=found_middle(others[1]),
            chance=chance,
            note="above chance would mean that something other than synchrony gives the shift away",
            facts=facts,
        ),
        Cell(
            method=method,
            question="talking heads of GRID: share of shifts that score below the true one",
            seed=seed,
            keys=list(heads.keys),
            clusters=list(heads.keys),
            trained=share_below_middle(scores["trained"][1]),
            untrained=share_below_middle(scores["untrained"][1]),
            baseline=share_below_middle(by_hand[1]),
            baseline_name=_BASELINE,
            chance=0.5,
            note=f"{len(heads.keys)} clips, one speaker each; trained on synthetic shapes, it never "
            "saw a face or heard a voice; the true shift is the best of 21 in "
            f"{sum(found_middle(scores['trained'][1])):.0f} clips with seed {seed}, in "
            f"{sum(found_middle(by_hand[1])):.0f} by hand",
            facts=facts,
        ),
    ]


def offset_scores(
    objective: SegmentAvclip, views: tuple[ViewTensors, ...], *, others: bool = False
) -> OffsetScores:
    """Scores of each clip's shifts.

    Args:
        objective: in evaluation mode.
        views: clips whose sound goes with their pictures.
        others: give each clip the pictures of the clip after it instead.
    """
    with torch.inference_mode():
        embedded = [objective.embed(view) for view in views]
    video, audio = (torch.cat(parts) for parts in zip(*embedded, strict=True))
    hop_s = _HOP_FRAMES / objective.config.sampler.fps
    return scores_by_shift(video.roll(-1, 0) if others else video, audio, REACH, hop_s)


def envelope_scores(motion: Tensor, loudness: Tensor, reach: int, hop: int) -> OffsetScores:
    """What needs no learning: the correlation over time of two curves, at every shift.

    Args:
        motion: float[b t], how much each frame differs from the one before.
        loudness: float[b t], of the sound of each frame.
        reach: how many shifts either way.
        hop: frames from one shift to the next; t is above 2 * reach * hop.

    Returns:
        At shifts in frames, later sound positive, as `scores_by_shift` has them.
    """
    margin = reach * hop
    num_frames = motion.shape[1] - 2 * margin
    middle = _standardised(motion[:, margin : margin + num_frames])
    around = _standardised(loudness.unfold(1, num_frames, hop).flip(1))
    shifts = tuple(float(number * hop) for number in range(-reach, reach + 1))
    return OffsetScores(offsets_s=shifts, scores=(middle[:, None] * around).mean(dim=2))


def curves(view: ViewTensors) -> tuple[Tensor, Tensor]:
    """float32[b t] each: how much frames differ from those before, and how loud their sound is."""
    assert view.video is not None
    assert view.audio is not None
    changes = view.video.diff(dim=2).square().mean(dim=(1, 3, 4))
    num_frames = view.video.shape[2]
    per_frame = functional.adaptive_avg_pool1d(view.audio.square()[:, None], num_frames)[:, 0]
    # The first frame has none before it.
    return functional.pad(changes, (1, 0), mode="replicate").sqrt(), per_frame.sqrt()


def found_middle(scores: OffsetScores) -> list[float]:
    """1 for each clip whose likeliest shift is none, else 0."""
    return (scores.best() == scores.scores.shape[1] // 2).double().tolist()


def share_below_middle(scores: OffsetScores) -> list[float]:
    """For each clip, the share of the other shifts that score lower than none."""
    middle = scores.scores.shape[1] // 2
    below = (scores.scores < scores.scores[:, middle : middle + 1]).double().sum(dim=1)
    return (below / (2 * middle)).tolist()


def _by_hand(views: tuple[ViewTensors, ...]) -> OffsetScores:
    motion, loudness = (
        torch.cat(parts) for parts in zip(*(curves(view) for view in views), strict=True)
    )
    return envelope_scores(motion, loudness, REACH, _HOP_FRAMES)


def _standardised(values: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(values, dim=-1, correction=0, keepdim=True)
    return (values - mean) / deviation.clamp(min=1e-8)


def _long_clips(config: RunConfig) -> SegmentAvclip:
    """The run's objective as it began, on clips long enough for every shift, as they are."""
    wanted = config.objective
    assert isinstance(wanted, SegmentAvclipConfig)
    sampler = SyncConfig(
        num_frames=_NUM_FRAMES,
        num_offsets=1,
        max_offset_s=0.0,
        jitter_s=0.0,
        fps=wanted.sampler.fps,
    )
    changes = {
        "sampler": sampler,
        "hop_frames": _HOP_FRAMES,
        "flip_probability": 0.0,
        "colour_probability": 0.0,
    }
    longer = config.model_copy(update={"objective": wanted.model_copy(update=changes)})
    objective = build_objective(longer)
    assert isinstance(objective, SegmentAvclip)
    return objective


def _shown(objective: SegmentAvclip, catalog_path: Path, split: str | None = None) -> Shown:
    catalog = Catalog.open(catalog_path)
    rows = usable_rows(catalog, video=True, audio=True, split=split)
    plan = Sweep(seed=0, rows=np.sort(rows), batch_size=_BATCH)
    source = StreamSource(catalog=catalog, plan=plan, specs=objective.view_specs())
    keys: list[str] = []
    views: list[ViewTensors] = []
    with plain_stream(source, range(plan.num_steps)) as stream:
        for batch in stream:
            keys += batch.keys
            inputs = to_inputs(batch, objective, 0, torch.device("cpu"))
            views.append(objective.view_of(inputs))
    assert all(view.rate_hz == RATE_HZ for view in views)
    return Shown(keys=tuple(keys), views=tuple(views))


SYNCHRONY = {"segment_avclip": measure_offsets}
"""The methods that are measured so."""
