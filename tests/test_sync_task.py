"""Proves that synchrony is measured on drawn offsets: the hand-made baseline finds them, another clip's
pictures do not, and runs that know nothing of synchrony are refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avrep.config import RunConfig, parse_config
from avrep.errors import ConfigError
from avrep.evaluation.task_result import TaskResult
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pretrain import pretrain
from avrep.report.sync_plot import draw_sync
from avrep.sync_task import SyncClips, SyncTaskConfig, _inputs, _objective, measure_sync
from avrep.types import Address, Batch, View

_TASK = SyncTaskConfig(clip_s=1.92, max_offset_s=0.48, num_offsets=13)
_SEGMENTS: dict[str, Any] = {
    "sampler": {"num_frames": 16, "num_offsets": 1, "max_offset_s": 0.0, "jitter_s": 0.0},
    "segment_frames": 4,
    "hop_frames": 4,
    "short_side_px": 24,
    "crop_px": 16,
}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "segment_avclip": {"width": 16},
    "syncnet": {"max_shift": 1, "head": {"hidden_width": 16, "num_hidden": 1, "out_width": 8}},
    "synchformer": {
        "sampler": {"num_frames": 16, "num_offsets": 7, "max_offset_s": 0.6},
        "video_tokens": 1,
        "audio_tokens": 2,
        "transformer": {"width": 16, "depth": 1, "num_heads": 2},
    },
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Sixteen videos of 3 s with flashes and beeps at the same instants."""
    folder = tmp_path_factory.mktemp("sync")
    config = SynthConfig(num_videos=0, num_flash_beep=16, num_speech=0, width_px=64, height_px=48)
    index_sources(
        [str(write_corpus(folder / "corpus", config))], folder / "c.parquet", num_workers=1
    )
    return Catalog.open(folder / "c.parquet")


def _run(folder: Path, catalog: Catalog, kind: str, batch_size: int = 4) -> Path:
    tree = {
        "data": {"catalog": str(catalog.path), "num_decode_actors": 0},
        "video_encoder": {"kind": "video_conv", "arch": "r3d_18_fast", "base_width": 4},
        "audio_encoder": {"kind": "audio_conv", "base_width": 4, "num_bins": 16},
        "objective": {"kind": kind, **_SEGMENTS, **_OBJECTIVES[kind]},
        "train": {
            "batch_size": batch_size,
            "num_steps": 1,
            "warmup_steps": 0,
            "optim": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "num_threads": 1,
        },
    }
    pretrain(parse_config(tree, "test"), folder / kind)
    return folder / kind


@pytest.fixture(scope="module")
def measured(
    catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[tuple[TaskResult, ...], SyncClips]]:
    folder = tmp_path_factory.mktemp("runs")
    return {kind: measure_sync(_run(folder, catalog, kind), catalog, _TASK) for kind in _OBJECTIVES}


@pytest.mark.slow
def test_offsets_are_drawn_evenly_and_found_by_hand(
    measured: dict[str, tuple[tuple[TaskResult, ...], SyncClips]],
) -> None:
    _, clips = measured["segment_avclip"]
    assert len(clips.keys) == 16
    assert len(set(clips.numbers.tolist())) > 6
    assert clips.by_hand is not None
    away = (clips.by_hand.best() - clips.numbers).abs()
    # Two clips show one flash too few; chance would find three.
    assert int((away <= 1).sum()) >= 13
    assert clips.others is not None
    others = (clips.others.best() - clips.numbers).abs()
    assert int((others == 0).sum()) <= 6


@pytest.mark.slow
def test_each_objective_is_measured_by_its_own_means(
    measured: dict[str, tuple[tuple[TaskResult, ...], SyncClips]],
) -> None:
    names = {kind: [result.task for result in results] for kind, (results, _) in measured.items()}
    assert names == {
        "segment_avclip": ["sync", "av_retrieval"],
        "syncnet": ["sync", "av_retrieval"],
        "synchformer": ["sync"],
    }
    (offsets,) = measured["synchformer"][0]
    assert offsets.settings["num_offsets"] == 7
    assert offsets.metrics[0].chance == pytest.approx(1 / 7)
    assert offsets.metrics[1].chance == pytest.approx(19 / 49)
    _, clips = measured["syncnet"]
    assert clips.embedded is not None
    assert clips.embedded[0].shape == (16, 8)
    assert torch.isfinite(clips.scores.scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["syncnet", "synchformer"])
def test_a_clip_alone_in_its_batch_has_another_s_pictures(
    kind: str, catalog: Catalog, tmp_path: Path
) -> None:
    run = _run(tmp_path, catalog, kind)
    by_size = {
        size: measure_sync(run, catalog, _TASK.model_copy(update={"batch_size": size}))[1]
        for size in (16, 15, 1)
    }
    in_one, with_last, alone = (by_size[size].others for size in (16, 15, 1))
    assert in_one is not None
    assert with_last is not None
    assert alone is not None
    # All but the first have the same neighbour before them.
    for others in (with_last, alone):
        torch.testing.assert_close(others.scores[1:], in_one.scores[1:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone.scores, by_size[1].scores.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_one_clip_alone_has_no_other_s_pictures(tmp_path: Path) -> None:
    config = SynthConfig(num_videos=0, num_flash_beep=1, num_speech=0, width_px=64, height_px=48)
    place = tmp_path / "one.parquet"
    index_sources([str(write_corpus(tmp_path / "corpus", config))], place, num_workers=1)
    one = Catalog.open(place)
    run = _run(tmp_path, one, "syncnet", batch_size=1)
    (offsets, *_), clips = measure_sync(run, one, _TASK)
    assert clips.others is None
    assert "offset_top1_other_pictures" not in [metric.name for metric in offsets.metrics]
    assert offsets.notes[-1].startswith("one clip alone")
    draw_sync(clips, tmp_path / "sync.png", "one")


@pytest.mark.slow
def test_what_cannot_be_measured_is_refused(tmp_path: Path, synth_catalog: Catalog) -> None:
    run = _run(tmp_path, synth_catalog, "segment_avclip")
    with pytest.raises(ConfigError, match="must be whole frames apart"):
        measure_sync(run, synth_catalog, SyncTaskConfig(max_offset_s=0.5, num_offsets=21))
    with pytest.raises(ConfigError, match="choose a longer clip_s"):
        measure_sync(run, synth_catalog, SyncTaskConfig(clip_s=3.0))
    with pytest.raises(ConfigError, match=r"no item with video and sound of at least 9 s"):
        measure_sync(run, synth_catalog, SyncTaskConfig())


@pytest.mark.parametrize("kind", ["segment_avclip", "syncnet", "synchformer"])
@pytest.mark.parametrize("min_crop_area", [0.4, 1.0])
def test_nothing_is_drawn_of_what_is_measured(
    kind: str, min_crop_area: float, tiny_config: Callable[..., RunConfig]
) -> None:
    """A ramp from left to right, 24 x 32: the central square of 16 pixels, or all of it, never mirrored."""
    objective_tree = {"kind": kind, **_SEGMENTS, **_OBJECTIVES[kind]}
    augmented = {"min_crop_area": min_crop_area, "flip_probability": 1.0, "colour_probability": 1.0}
    base = tiny_config().model_dump(mode="json", exclude={"objective"})
    sound = {"audio_encoder": {"kind": "audio_conv", "base_width": 4, "num_bins": 16}}
    run = parse_config({**base, **sound, "objective": {**objective_tree, **augmented}}, "test")
    objective = _objective(run, _TASK)
    assert objective.segments.sampler.jitter_s == 0
    video = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[:, None], (2, 3, 24, 32, 3)).copy()
    view = View(
        video=video,
        size_px=np.array([[24, 32]] * 2, np.int32),
        pts_s=np.zeros((2, 3)),
        rate_hz=16000,
    )
    batch = Batch(step=0, addresses=(Address(0, 0), Address(0, 1)), keys=("a", "b"), views=(view,))
    (seen,) = _inputs(batch, objective, torch.device("cpu")).views
    assert seen.video is not None
    assert seen.video.shape == (2, 3, 3, 16, 16)
    row = (seen.video[0, 0, 0, 0] + 1) * 127.5
    if min_crop_area == 1:
        # Two columns each, with their neighbours: 4 to 244 in steps of 16, but at the ends.
        torch.testing.assert_close(row[1:-1], torch.arange(20.0, 230.0, 16.0), rtol=0, atol=0.01)
    else:
        torch.testing.assert_close(row, torch.arange(64.0, 192.0, 8.0), rtol=0, atol=0.01)
    torch.testing.assert_close(seen.video, seen.video[:1, :1, :1, :1].expand(2, 3, 3, 16, 16))
