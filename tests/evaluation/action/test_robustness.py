"""Proves what each disturbance does to a clip, and that it is the same whoever asks."""

from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.robustness import (
    DISTURBANCES,
    disturbed_clip,
    disturbed_frames,
    recompress,
)
from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.decode import decode
from avrep.sampling.clips import ClipConfig, DenseConfig
from avrep.sampling.spec import ViewSpec, draw_views
from avrep.types import Geometry, MediaItem, VideoStream


def numbered(num_videos: int, num_frames: int = 8) -> np.ndarray:
    """uint8[b t 1 1 3] whose pixels say which frame of which video they are."""
    frames = np.arange(num_videos * num_frames).reshape(num_videos, num_frames, 1, 1, 1)
    return np.broadcast_to(frames, (num_videos, num_frames, 1, 1, 3)).astype(np.uint8)


def wanted_frames(clip: ClipConfig) -> list[int]:
    stream = VideoStream(width_px=8, height_px=8, fps=30.0, num_frames=300, codec="h264")
    item = MediaItem(
        key="a", shard="", offset_bytes=0, length_bytes=1, duration_s=10.0, video=stream
    )
    sampler = DenseConfig(**clip.model_dump(), num_clips=1)
    spec = ViewSpec(sampler=sampler, geometry=Geometry())
    (times,) = draw_views(spec, item, np.random.default_rng(0))
    return np.floor(times.frames_s * 30).astype(int).tolist()


def test_rates() -> None:
    clip = ClipConfig(num_frames=4, stride=2)
    assert disturbed_clip(clip, "half_rate").stride == 4
    assert disturbed_clip(clip, "double_rate").stride == 1
    for same in (None, "shuffled", "reversed", "recompressed"):
        assert disturbed_clip(clip, same) == clip
    by_clock = ClipConfig(num_frames=4, stride=1, fps=10.0)
    assert np.diff(wanted_frames(by_clock)).tolist() == [3, 3, 3]
    assert np.diff(wanted_frames(disturbed_clip(by_clock, "half_rate"))).min() >= 6
    faster = np.diff(wanted_frames(disturbed_clip(by_clock, "double_rate")))
    assert set(faster.tolist()) <= {1, 2}
    with pytest.raises(ConfigError, match="frames are 1 apart at the video's own rate"):
        disturbed_clip(ClipConfig(num_frames=4, stride=1), "double_rate")


def test_reversed_frames() -> None:
    video = numbered(2)
    found = disturbed_frames(video, ["a", "b"], 0, "reversed", 0)
    assert found[:, :, 0, 0, 0].tolist() == [list(range(7, -1, -1)), list(range(15, 7, -1))]


def test_shuffled_frames_are_drawn_by_the_clip_and_not_by_the_batch() -> None:
    video = numbered(3)
    together = disturbed_frames(video, ["a", "b", "c"], 1, "shuffled", 5)
    for row, key in enumerate("abc"):
        assert sorted(together[row, :, 0, 0, 0].tolist()) == list(range(8 * row, 8 * row + 8))
        alone = disturbed_frames(video[row : row + 1], [key], 1, "shuffled", 5)
        np.testing.assert_array_equal(alone[0], together[row])
    same = numbered(1).repeat(3, axis=0)
    orders = [
        tuple(disturbed_frames(same, ["a", "b", "c"], view, "shuffled", seed)[row, :, 0, 0, 0])
        for row in range(3)
        for view in range(2)
        for seed in range(2)
    ]
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("disturbance", [None, *DISTURBANCES[:2], "recompressed"])
def test_the_others_leave_the_frames_order(disturbance: None) -> None:
    video = numbered(2)
    assert disturbed_frames(video, ["a", "b"], 0, disturbance, 0) is video


def test_recompressed_videos_keep_keys_times_and_sizes_and_lose_detail(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    rows = synth_catalog.rows_with(video=True)[2:4]
    coded = recompress(synth_catalog, rows, tmp_path, 40.0)
    assert coded.failures == ()
    sampler = DenseConfig(num_frames=4, stride=2, num_clips=1)
    spec = ViewSpec(sampler=sampler, geometry=Geometry())
    for number, row in enumerate(rows.tolist()):
        before, after = synth_catalog[row], coded.catalog[number]
        assert after.key == before.key
        assert after.audio is None
        clips = []
        for catalog, item in ((synth_catalog, before), (coded.catalog, after)):
            (times,) = draw_views(spec, item, np.random.default_rng(0))
            clip = decode(shards.read(item, catalog.root), times, spec.geometry)
            assert clip.video is not None
            clips.append((times.frames_s, clip.video.astype(float)))
        np.testing.assert_allclose(clips[0][0], clips[1][0], atol=1e-3)
        error = np.abs(clips[0][1] - clips[1][1]).mean()
        shifted = np.abs(clips[0][1] - np.roll(clips[1][1], 9, axis=2)).mean()
        assert 0.3 < error < 0.7 * shifted
