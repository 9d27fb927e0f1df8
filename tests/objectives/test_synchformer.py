"""Checks Synchformer: its labels through the real stream, its sequence, its loss."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from avrep import rng
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.models.features import Features
from avrep.objectives.base import BatchTensors
from avrep.objectives.synchformer import (
    Synchformer,
    SynchformerConfig,
    drawn_offsets,
    over_time,
)
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.spec import ViewSpec
from avrep.sampling.sync import SyncConfig
from avrep.training.inputs import move_batch
from avrep.types import Address, Geometry
from tests.objectives import sync_toys

_SEED = 11


def _drawn_number(config: SyncConfig, address: Address) -> int:
    """The second draw of a clip, after the place of its pictures, made again."""
    draws = rng.at(_SEED, rng.Stage.SAMPLE, address, 0)
    draws.random()
    return int(draws.integers(config.num_offsets))


def _check_labels(catalog: Catalog, config: SyncConfig, rate_hz: int, num_steps: int) -> None:
    spec = ViewSpec(sampler=config, geometry=Geometry(short_side_px=32, rate_hz=rate_hz))
    rows = catalog.rows_with(video=True, audio=True)
    plan = Plan(seed=_SEED, rows=rows, global_batch=4 * 16, draws_per_visit=16)
    source = StreamSource(catalog=catalog, plan=plan, specs=(spec,))
    seen: set[int] = set()
    for batch in batches(source, range(num_steps)):
        inputs = move_batch(batch, torch.device("cpu"))
        labels = drawn_offsets(inputs.views[0], config).tolist()
        assert labels == [_drawn_number(config, address) for address in batch.addresses]
        seen |= set(labels)
    assert len(seen) == config.num_offsets


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_labels_are_the_drawn_offsets(synth_catalog: Catalog, rate_hz: int) -> None:
    """With the widest jitter there may be, and pictures that start up to a frame before they are
    wanted: the synthetic corpus has 24 frames a second.
    """
    config = SyncConfig(
        num_frames=4, fps=10.0, max_offset_s=0.3, num_offsets=13, jitter_s=0.3 / 12 - 0.001
    )
    _check_labels(synth_catalog, config, rate_hz, num_steps=3)


def test_labels_of_real_media_are_the_drawn_offsets(media_root: Path, tmp_path: Path) -> None:
    """Talking heads: MPEG-1 at 25 frames a second with MP2 sound at 44.1 kHz."""
    index_sources([str(media_root / "av" / "grid")], tmp_path / "grid.parquet", num_workers=1)
    config = SyncConfig(num_frames=25, max_offset_s=0.8, num_offsets=21, jitter_s=0.03)
    _check_labels(Catalog.open(tmp_path / "grid.parquet"), config, 16000, num_steps=4)


def test_the_start_of_the_first_frame_given_would_not_do(synth_catalog: Catalog) -> None:
    """So the test above can fail: at 24 frames a second its grid is finer than a frame."""
    config = SyncConfig(num_frames=4, fps=10.0, max_offset_s=0.3, num_offsets=13, jitter_s=0.0)
    spec = ViewSpec(sampler=config, geometry=Geometry(short_side_px=32, rate_hz=16000))
    rows = synth_catalog.rows_with(video=True, audio=True)
    plan = Plan(seed=_SEED, rows=rows, global_batch=64, draws_per_visit=16)
    batch = next(batches(StreamSource(catalog=synth_catalog, plan=plan, specs=(spec,)), range(1)))
    view = move_batch(batch, torch.device("cpu")).views[0]
    shown = replace(view, first_frame_s=view.pts_s[:, 0])
    assert not torch.equal(drawn_offsets(shown, config), drawn_offsets(view, config))


def test_the_sequence_is_the_paper_s() -> None:
    """14 segments of 8 and 6 tokens with two marks: 198 places, 21 classes."""
    config = SynchformerConfig()
    assert config.num_segments == 14
    objective = Synchformer(config, *sync_toys.encoders(), 0)
    assert objective.positions.shape == (198, 768)
    assert objective.classifier.out_features == 21


def test_a_place_weighs_as_much_as_what_is_there() -> None:
    """As released: layer norms behind the projections, and places and marks of a standard normal. With
    places of deviation 0.02 the loss stayed that of guessing.
    """
    objective = sync_toys.synchformer().eval()
    view = sync_toys.batch(objective).views[0]
    given: list[Tensor] = []
    objective.transformer.register_forward_pre_hook(lambda _, args: given.append(args[0].detach()))
    objective.logits(view)
    places, marks = objective.positions.detach(), objective.marks.detach()
    there = given[0] - places
    num_pictures = objective.num_segments * objective.config.video_tokens
    between = 1 + num_pictures
    for number, place in enumerate((0, between)):
        assert torch.allclose(there[:, place], marks[number], atol=1e-5)
    contents = torch.cat([there[:, 1:between], there[:, between + 1 :]], dim=1)
    assert contents.mean(dim=2).abs().max() < 1e-4
    assert contents.std(dim=2, correction=0).sub(1).abs().max() < 0.01
    # 68 places of 16 numbers: their deviation is known to 2 %.
    assert places.std().item() == pytest.approx(1.0, abs=0.1)
    assert marks.std().item() == pytest.approx(1.0, abs=0.5)


def test_the_loss_is_the_labels_negative_log_likelihood() -> None:
    objective = sync_toys.synchformer().eval()
    batch = sync_toys.batch(objective)
    # Clip i's sound starts 0.4 - 0.2 i s before its pictures.
    numbers = drawn_offsets(batch.views[0], objective.config.sampler).tolist()
    assert numbers == [0, 1, 2, 3]
    logits = objective.logits(batch.views[0]).tolist()
    total = 0.0
    for row, number in zip(logits, numbers, strict=True):
        total += math.log(sum(math.exp(logit) for logit in row)) - row[number]
    out = objective(batch, torch.Generator())
    assert out.loss.item() == pytest.approx(total / 4, rel=1e-5)
    best = [row.index(max(row)) for row in logits]
    away = [abs(found - number) for found, number in zip(best, numbers, strict=True)]
    assert out.metrics["offset_top1"] == pytest.approx(sum(a == 0 for a in away) / 4)
    assert out.metrics["offset_within_1"] == pytest.approx(sum(a <= 1 for a in away) / 4)


def test_the_answer_depends_on_pictures_and_sound_in_their_order() -> None:
    objective = sync_toys.synchformer().eval()
    view = sync_toys.batch(objective).views[0]
    assert view.video is not None
    assert view.audio is not None
    logits = objective.logits(view)
    for other in (
        replace(view, video=view.video.flip(2)),
        replace(view, audio=view.audio.flip(1)),
        replace(view, video=view.video.roll(1, 0)),
    ):
        assert not torch.allclose(objective.logits(other), logits)


def test_tokens_are_averaged_over_space_and_stretches_of_time() -> None:
    tokens = torch.arange(8.0)[None, :, None]
    features = Features(tokens=tokens, grid=(4, 2, 1), pooled=tokens[:, 0])
    assert over_time(features, 4)[0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert over_time(features, 2)[0, :, 0].tolist() == [1.5, 5.5]


def test_a_view_without_times_or_offsets_is_refused() -> None:
    objective = sync_toys.synchformer()
    view = sync_toys.batch(objective).views[0]
    timeless = BatchTensors(step=0, views=(replace(view, first_frame_s=None),))
    with pytest.raises(ValueError, match="want first_frame_s and audio_start_s"):
        objective(timeless, torch.Generator())
    with pytest.raises(ValidationError, match="num_offsets must be 3 or more"):
        SynchformerConfig(sampler=SyncConfig(num_offsets=1))
