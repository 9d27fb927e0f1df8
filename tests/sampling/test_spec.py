"""Proves the way from a catalogue row to wanted instants: every instant lies in the middle of the
frame that was drawn, on the item's clock, and falls back to that frame when rounded.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from avrep.errors import MediaError
from avrep.rng import Stage, at
from avrep.sampling.clips import ClipConfig, DenseConfig, UniformConfig, dense_clips
from avrep.sampling.pairs import PairConfig, sample_pair
from avrep.sampling.spec import SamplerConfig, ViewSpec, draw_views, num_views
from avrep.types import Address, AudioStream, Geometry, MediaItem, VideoStream
from avrep.units import frame_at

GEOMETRY = Geometry(short_side_px=128)
FPS = (8.0, 12.5, 24000 / 1001, 25.0, 30000 / 1001, 30.0, 59.94, 120.0)


def item(
    num_frames: int = 75, fps: float = 25.0, start_s: float = 0.0, duration_s: float = 3.0
) -> MediaItem:
    video = VideoStream(
        width_px=320, height_px=240, fps=fps, num_frames=num_frames, codec="h264", start_s=start_s
    )
    return MediaItem(
        key="a", shard="a.mp4", offset_bytes=0, length_bytes=1, duration_s=duration_s, video=video
    )


def view(sampler: PairConfig | UniformConfig | DenseConfig) -> ViewSpec:
    return ViewSpec(sampler=sampler, geometry=GEOMETRY)


def test_dense_times_by_hand():
    # 20 frames at 10 a second from 0.5 s; frames as in the dense sampler's own hand-worked case.
    spec = view(DenseConfig(num_frames=4, stride=2, num_clips=3))
    clips = draw_views(spec, item(20, 10.0, start_s=0.5), np.random.default_rng(0))
    assert len(clips) == num_views(spec) == 3
    np.testing.assert_allclose(clips[1].frames_s, [1.15, 1.35, 1.55, 1.85], atol=1e-12)
    assert clips[0].frames_s.dtype == np.float64
    assert clips[0].audio_s is None


def test_pair_times_are_the_drawn_frames():
    config = PairConfig()
    clips = draw_views(view(config), item(), np.random.default_rng(9))
    drawn = sample_pair(75, config, np.random.default_rng(9))
    assert num_views(view(config)) == 2
    for clip, numbers in zip(clips, drawn, strict=True):
        np.testing.assert_allclose(clip.frames_s, (numbers + 0.5) / 25)


def test_asked_rate_counts_frames_at_that_rate():
    # 75 frames at 25 a second last 3 s, which is 30 frames at 10 a second.
    spec = view(DenseConfig(num_frames=30, stride=1, num_clips=1, fps=10.0))
    (clip,) = draw_views(spec, item(), np.random.default_rng(0))
    np.testing.assert_allclose(clip.frames_s, np.arange(30) / 10 + 0.05)


def test_sound_that_outlasts_the_picture_is_not_sampled():
    spec = view(DenseConfig(num_frames=30, stride=1, num_clips=1, fps=10.0))
    (clip,) = draw_views(spec, item(duration_s=60.0), np.random.default_rng(0))
    assert clip.frames_s.max() < 3.0


@pytest.mark.parametrize("fps", [None, 25.0])
def test_unknown_number_of_frames_is_taken_from_the_duration(fps: float | None):
    spec = view(DenseConfig(num_frames=75, stride=1, num_clips=1, fps=fps))
    row = item(num_frames=0, start_s=1.0, duration_s=4.0)
    (clip,) = draw_views(spec, row, np.random.default_rng(0))
    np.testing.assert_allclose(clip.frames_s, 1 + (np.arange(75) + 0.5) / 25)


@given(
    num_frames=st.integers(1, 5000),
    fps=st.sampled_from(FPS),
    sampler=st.sampled_from(
        [
            PairConfig(),
            PairConfig(num_frames=3, stride=7),
            UniformConfig(num_clips=3),
            DenseConfig(),
        ]
    ),
    seed=st.integers(0, 2**32),
)
def test_every_instant_shows_a_frame_of_the_video(
    num_frames: int, fps: float, sampler: PairConfig | UniformConfig | DenseConfig, seed: int
):
    clips = draw_views(view(sampler), item(num_frames, fps), np.random.default_rng(seed))
    assert len(clips) == num_views(view(sampler))
    for clip in clips:
        shown = [frame_at(time_s, fps) for time_s in clip.frames_s]
        assert min(shown) >= 0
        assert max(shown) < num_frames
        # A timestamp written in whole milliseconds, say, still finds the same frame.
        assert [frame_at(round(time_s, 3), fps) for time_s in clip.frames_s] == shown


@given(num_frames=st.integers(1, 3000), fps=st.sampled_from(FPS))
def test_instants_round_back_to_the_drawn_frames(num_frames: int, fps: float):
    config = DenseConfig()
    clips = draw_views(view(config), item(num_frames, fps), np.random.default_rng(0))
    for clip, numbers in zip(clips, dense_clips(num_frames, config), strict=True):
        assert [frame_at(time_s, fps) for time_s in clip.frames_s] == numbers.tolist()


def test_one_address_one_answer():
    draws = [
        draw_views(view(PairConfig()), item(5000), at(3, Stage.SAMPLE, Address(0, row)))
        for row in (1, 1, 2)
    ]
    assert (draws[0][0].frames_s == draws[1][0].frames_s).all()
    assert (draws[0][0].frames_s != draws[2][0].frames_s).any()


def test_dense_leaves_the_generator_untouched():
    rng = np.random.default_rng(0)
    draw_views(view(DenseConfig()), item(), rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_item_without_video_is_refused():
    audio = AudioStream(rate_hz=16000, channels=1, codec="pcm")
    row = MediaItem(
        key="a", shard="a.wav", offset_bytes=0, length_bytes=1, duration_s=3.0, audio=audio
    )
    with pytest.raises(MediaError, match=r"^video: no video stream$"):
        draw_views(view(PairConfig()), row, np.random.default_rng(0))


@pytest.mark.parametrize(
    "row",
    [
        item(fps=0.0),
        item(fps=float("nan")),
        item(num_frames=0, duration_s=float("nan")),
        item(num_frames=0, duration_s=float("inf")),
    ],
)
def test_senseless_catalogue_rows_are_refused(row: MediaItem):
    with pytest.raises(MediaError, match=r"^video: "):
        draw_views(view(PairConfig()), row, np.random.default_rng(0))


@pytest.mark.parametrize("config", [PairConfig(power=2.0), UniformConfig(), DenseConfig(fps=8.0)])
def test_configs_come_back_from_plain_data_by_their_kind(config: ClipConfig):
    adapter: TypeAdapter[SamplerConfig] = TypeAdapter(SamplerConfig)
    assert adapter.validate_python(config.model_dump()) == config
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "pairs"})
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "dense", "power": 1.0})
