"""Synchrony: which shift of the sound goes with the pictures, of 21, on items never trained on.

Every clip's sound is in time, so an encoder that favours the middle for another reason than what it
sees and hears would look good. Two things guard against that: a segment's features know of nothing
before or after it, and the same count is taken with the pictures of another item, where nothing but
such a leak could find the middle.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.assemble import build_objective, usable_rows
from avrep.config import RunConfig
from avrep.evaluation.envelopes import envelope_scores, envelopes
from avrep.evaluation.sync import OffsetScores, scores_by_shift
from avrep.media.catalog import Catalog
from avrep.objectives.base import ViewTensors
from avrep.objectives.segment_avclip import SegmentAvclip, SegmentAvclipConfig
from avrep.objectives.segments import RATE_HZ
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import plain_stream
from avrep.sampling.sync import SyncConfig
from avrep.trained import load_trained, read_run_config
from avrep.training.inputs import to_inputs
from evidence.cells import Cell
from evidence.corpora import folder_catalog, synthetic_catalog
from evidence.training import train_run

REACH = 10
"""Windows that the sound is shifted by at most, either way: 21 offsets."""
HEADS = "av/grid"
"""Talking heads, below the folder of real media."""
_HOP_FRAMES = 2
_FPS = 25.0
_NUM_FRAMES = 70
"""2.8 s of items of 3 s: 34 windows of 4 frames, the middle 14 of which have sound at every shift."""
_CHANCE = 1 / (2 * REACH + 1)
_BATCH = 16
BASELINE = "correlation of how much pictures change with how loud the sound is"


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
    load_trained(run.folder, trained)
    held_out = _shown(trained, catalog, split="test")
    heads = _shown(trained, folder_catalog(work, HEADS))
    on_held_out = [embedded(objective, held_out.views) for objective in (trained, untrained)]
    on_heads = [embedded(objective, heads.views) for objective in (trained, untrained)]
    offsets = [found_middle(offset_scores(*pairs)) for pairs in on_held_out]
    others = [found_middle(offset_scores(video.roll(-1, 0), audio)) for video, audio in on_held_out]
    head_scores = [offset_scores(*pairs) for pairs in on_heads]
    by_hand = [_by_hand(shown.views) for shown in (held_out, heads)]
    told = partial(_cell, seed=seed, facts=run.facts)
    return [
        told(
            "which of 21 shifts of the sound goes with the pictures",
            held_out.keys,
            (offsets[0], offsets[1], found_middle(by_hand[0])),
            chance=_CHANCE,
            note="synthetic videos, shifts of 0.08 s up to 0.8 s either way; only an exact hit counts",
        ),
        told(
            "control: the same with another item's pictures, where none can be right",
            held_out.keys,
            (others[0], others[1], None),
            chance=_CHANCE,
            note="above chance would mean that something other than synchrony gives the shift away",
        ),
        told(
            "talking heads of GRID: share of shifts that score below the true one",
            heads.keys,
            (
                share_below_middle(head_scores[0]),
                share_below_middle(head_scores[1]),
                share_below_middle(by_hand[1]),
            ),
            chance=0.5,
            note=f"{len(heads.keys)} clips, one speaker each; trained on synthetic shapes, it never "
            "saw a face or heard a voice; the true shift is the best of 21 in "
            f"{sum(found_middle(head_scores[0])):.0f} clips with seed {seed}, in "
            f"{sum(found_middle(by_hand[1])):.0f} by hand",
        ),
    ]


def _cell(
    question: str,
    keys: tuple[str, ...],
    scores: tuple[list[float], list[float], list[float] | None],
    *,
    chance: float,
    note: str,
    seed: int,
    facts: dict[str, float],
) -> Cell:
    """Of scores trained, untrained and by hand; every clip stands alone."""
    trained, untrained, by_hand = scores
    return Cell(
        method="segment_avclip",
        question=question,
        seed=seed,
        keys=list(keys),
        clusters=list(keys),
        trained=trained,
        untrained=untrained,
        baseline=by_hand,
        baseline_name="" if by_hand is None else BASELINE,
        chance=chance,
        note=note,
        facts=facts,
    )


def embedded(objective: SegmentAvclip, views: tuple[ViewTensors, ...]) -> tuple[Tensor, Tensor]:
    """Pictures and sound of every window of clips, float32[b n d] each, in evaluation mode."""
    objective.eval()
    with torch.inference_mode():
        video, audio = zip(*(objective.embed(view) for view in views), strict=True)
    return torch.cat(video), torch.cat(audio)


def offset_scores(video: Tensor, audio: Tensor) -> OffsetScores:
    """Scores of each clip's shifts, in seconds."""
    return scores_by_shift(video, audio, REACH, _HOP_FRAMES / _FPS)


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
        torch.cat(parts) for parts in zip(*(_envelopes(view) for view in views), strict=True)
    )
    return envelope_scores(motion, loudness, REACH, _HOP_FRAMES)


def _envelopes(view: ViewTensors) -> tuple[Tensor, Tensor]:
    assert view.video is not None
    assert view.audio is not None
    return envelopes(view.video, view.audio)


def _long_clips(config: RunConfig) -> SegmentAvclip:
    """The run's objective as it began, on clips long enough for every shift, as they are."""
    wanted = config.objective
    assert isinstance(wanted, SegmentAvclipConfig)
    sampler = SyncConfig(
        num_frames=_NUM_FRAMES,
        num_offsets=1,
        max_offset_s=0.0,
        jitter_s=0.0,
        fps=_FPS,
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
