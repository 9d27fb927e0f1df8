"""Asking about videos: in order, with what failed told of, and on from where it stopped."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.augment.eval_crops import CropConfig
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.recognition import row_scores
from avrep.recognition.data import TaskVideos
from avrep.recognition.row_scores import Progressed, RowScores, num_batches, score_rows
from avrep.recognition.views import even_clips
from avrep.sampling.clips import ClipConfig

from .watched import Watched

CLIP = ClipConfig(num_frames=2, stride=4)
CROPS = CropConfig(short_side_px=16, crop_px=16, num_crops=3)


def mean_colours(views: Iterator[Tensor]) -> Tensor:
    """Of each clip's crops, side by side: float[b clips * crops * 3]."""
    return torch.cat([view.mean(dim=(3, 4, 5)).flatten(1) for view in views], dim=1)


class Stops(Exception):
    pass


def ask(
    data: TaskVideos,
    kept: Progressed | None = None,
    open_stream: OpenStream = plain_stream,
    stop_at: int | None = None,
) -> RowScores:
    def on_batch(done: int) -> None:
        if done == stop_at:
            raise Stops

    return score_rows(
        data,
        data.task.test,
        even_clips(CLIP, 2, 16),
        CROPS,
        mean_colours,
        batch_size=3,
        device=torch.device("cpu"),
        open_stream=open_stream,
        kept=kept,
        on_batch=on_batch,
    )


def test_videos_come_in_order_whatever_the_batch(synth_action: TaskVideos) -> None:
    found = ask(synth_action)
    assert found.rows.tolist() == synth_action.task.test.tolist()
    assert found.scores.shape == (8, 2 * 3 * 3)
    one = replace(synth_action, task=replace(synth_action.task, test=synth_action.task.test[5:6]))
    np.testing.assert_array_equal(ask(one).scores[0], found.scores[5])
    assert num_batches(synth_action.task.test, 3) == 3


def test_it_goes_on_where_it_stopped(
    synth_action: TaskVideos, watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_scores, "_SAVE_EVERY_BATCHES", 1)
    kept = Progressed(path=tmp_path / "a" / "scores.safetensors", digest="one")
    with pytest.raises(Stops):
        ask(synth_action, kept, stop_at=2)
    found = ask(synth_action, kept, open_stream=watched)
    assert [steps for _, _, steps in watched.opened] == [range(2, 3)]
    np.testing.assert_array_equal(found.scores, ask(synth_action).scores)
    # What is of something else, or damaged, is begun anew.
    ask(synth_action, replace(kept, digest="two"), open_stream=watched)
    kept.path.write_bytes(b"x" * 40)
    ask(synth_action, kept, open_stream=watched)
    assert [steps for _, _, steps in watched.opened[1:]] == [range(3), range(3)]


def test_what_cannot_be_decoded_is_told_of_and_remembered(
    synth_action: TaskVideos, synth_folder: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(synth_folder, moved)
    bad = synth_catalog[int(synth_action.task.test[4])]
    (moved / bad.shard).write_bytes(b"x" * bad.length_bytes)
    data = replace(synth_action, catalog=Catalog.open(synth_catalog.path, str(moved)))
    kept = Progressed(path=tmp_path / "scores.safetensors", digest="one")
    for _ in range(2):
        found = ask(data, kept)
        assert [failure.key for failure in found.failures] == [bad.key]
        assert len(found.rows) == len(found.scores) == 7
    alone = replace(data, task=replace(data.task, test=data.task.test[4:5]))
    with pytest.raises(ConfigError, match=f"none of 1 videos could be decoded; {bad.key}"):
        ask(alone)
