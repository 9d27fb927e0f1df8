"""Proves that leaving packets undecoded changes nothing that is given: not a pixel, not a time.

Truth: a full decode of every frame, with a search one by one. And that packets are really left out,
by count; that they are not where a planted fault breaks what they promised.
"""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avrep.media.decode import decode
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.pyav_video import frames_on_display
from avrep.types import Geometry

from .decode_truth import Slow, at, full_video, rgb, shown

NUM_FRAMES = 60
STEPS = {"even": (1,), "uneven": (1, 3, 1, 1, 5)}
# Name: container, frames' durations, x264's parameters.
VARIANTS = {
    "b1": ("mp4", "even", "bframes=1:b-adapt=0:b-pyramid=none"),
    "b3": ("mp4", "even", "bframes=3:b-adapt=0:b-pyramid=none"),
    "b5": ("mp4", "even", "bframes=5:b-adapt=0:b-pyramid=none"),
    "b3_pyramid": ("mp4", "even", "bframes=3:b-adapt=0:b-pyramid=normal"),
    "b5_pyramid": ("mp4", "even", "bframes=5:b-adapt=0:b-pyramid=strict"),
    "adaptive": ("mp4", "even", "bframes=5:b-adapt=2"),
    "uneven": ("mp4", "uneven", "bframes=3:b-adapt=0"),
    "uneven_flat": ("matroska", "uneven", "bframes=3:b-adapt=0:b-pyramid=none"),
    "open": ("mp4", "even", "bframes=3:b-adapt=0:open-gop=1"),
    "open_uneven": ("mp4", "uneven", "bframes=4:b-adapt=0:open-gop=1"),
    "open_matroska": ("matroska", "even", "bframes=3:b-adapt=0:open-gop=1"),
    "matroska": ("matroska", "even", "bframes=3:b-adapt=0"),
    "mpegts": ("mpegts", "even", "bframes=3:b-adapt=0"),
    "mpegts_open": ("mpegts", "even", "bframes=3:b-adapt=0:open-gop=1"),
    "flv": ("flv", "even", "bframes=3:b-adapt=0"),
    "short_groups": ("mp4", "even", "bframes=3:b-adapt=0:b-pyramid=none:keyint=8:min-keyint=8"),
    "intra": ("mp4", "even", "keyint=1"),
}
AS_STORED = Geometry()
CHECKS = [HealthCheck.function_scoped_fixture]


def write(path: Path, container_format: str, steps: Sequence[int], parameters: str) -> bytes:
    """Moving stripes under noise, so that each frame differs from all others; 30 ticks a second."""
    noise = np.random.default_rng(0)
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"x264-params": f"keyint=24:scenecut=0:{parameters}"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        pts = 0
        for number in range(NUM_FRAMES):
            picture = np.zeros((48, 64, 3), np.uint8)
            picture[:, number % 64 :: 7] = 200
            picture += noise.integers(0, 40, picture.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts = pts
            pts += steps[number % len(steps)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@functools.cache
def variant(folder: Path, name: str) -> tuple[bytes, Slow]:
    container_format, steps, parameters = VARIANTS[name]
    content = write(folder / f"planned_{name}", container_format, STEPS[steps], parameters)
    return content, full_video(content)


def strided(truth: Slow, start: int, stride: int, num_frames: int) -> list[float]:
    """Instants in the middle of every `stride`-th frame's display."""
    ends_s = np.append(truth.pts_s[1:], truth.pts_s[-1] + 0.02)
    middles_s = (truth.pts_s + ends_s) / 2
    return middles_s[start::stride][:num_frames].tolist()


def is_same_as_full_decode(content: bytes, truth: Slow, times_s: Sequence[float]) -> bool:
    clip = decode(content, at(*times_s), AS_STORED)
    wanted = [shown(truth, time_s) for time_s in times_s]
    assert clip.pts_s == pytest.approx(truth.pts_s[wanted], abs=1e-9)
    assert clip.video is not None
    height_px, width_px = clip.video.shape[1:3]
    expected = [rgb(truth.frames[number], width_px, height_px) for number in wanted]
    return clip.num_bad_packets == 0 and np.array_equal(clip.video, np.stack(expected))


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=12, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
def test_any_times_give_the_frames_of_a_full_decode(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content, truth = variant(tmp_path_factory.getbasetemp(), name)
    anywhere = st.floats(-0.5, float(truth.pts_s[-1]) + 0.5)
    frames = st.sampled_from(truth.pts_s.tolist())
    random_times = st.lists(st.one_of(anywhere, frames), min_size=1, max_size=6)
    clips = st.tuples(st.integers(0, 40), st.integers(1, 8), st.integers(1, 8)).map(
        lambda drawn: strided(truth, *drawn)
    )
    times_s = data.draw(
        st.one_of(random_times, clips, st.tuples(clips, clips).map(lambda p: p[0] + p[1]))
    )
    assert is_same_as_full_decode(content, truth, times_s)


@pytest.mark.parametrize("name", ["b3", "b3_pyramid", "uneven_flat", "open", "mpegts"])
@pytest.mark.parametrize("stride", range(1, 9))
def test_every_stride_from_every_parity(
    tmp_path_factory: pytest.TempPathFactory, name: str, stride: int
) -> None:
    content, truth = variant(tmp_path_factory.getbasetemp(), name)
    for start in (0, 1, 26):
        assert is_same_as_full_decode(content, truth, strided(truth, start, stride, 6))


def num_spared(content: bytes, times_s: Sequence[float]) -> int:
    with MediaFile(content, DecodeLimits()) as media:
        assert len(list(frames_on_display(media, sorted(times_s)))) == len(times_s)
        return media.num_spared_packets


def num_decoded(content: bytes, times_s: Sequence[float], monkeypatch: pytest.MonkeyPatch) -> int:
    calls: list[int] = []
    real = MediaFile.decode_video
    with monkeypatch.context() as patch:
        patch.setattr(
            MediaFile, "decode_video", lambda self, packet: calls.append(1) or real(self, packet)
        )
        decode(content, at(*times_s), AS_STORED)
    return len(calls)


@pytest.mark.parametrize(
    ("name", "stride", "expected"),
    [
        # Frames 0 to 20 of a group of 24. Three in four are spare; a stride of 4 wants none of them,
        # a stride of 2 one of them, a stride of 1 all.
        ("b3", 4, 15),
        ("b3", 2, 10),
        ("b3", 1, 0),
        # The odd ones are spare.
        ("b3_pyramid", 4, 10),
        ("b3_pyramid", 2, 10),
        ("b3_pyramid", 1, 0),
        ("matroska", 2, 10),
        ("mpegts", 2, 10),
    ],
)
def test_what_is_spared_by_hand(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stride: int,
    expected: int,
) -> None:
    content, truth = variant(tmp_path_factory.getbasetemp(), name)
    times_s = strided(truth, 0, stride, 20 // stride + 1)
    assert num_spared(content, times_s) == expected
    # Frame 20 is a reference; what follows it is not begun.
    assert num_decoded(content, times_s, monkeypatch) == 21 - expected


def test_the_last_wanted_frame_ends_a_stretch(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, truth = variant(tmp_path_factory.getbasetemp(), "short_groups")
    # I0 P4, then I48 P52: nothing else is needed for 4 and 52.
    assert num_decoded(content, strided(truth, 4, 48, 2), monkeypatch) == 4


def test_a_key_frame_close_by_is_not_worth_a_seek(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, truth = variant(tmp_path_factory.getbasetemp(), "intra")
    seeks: list[int] = []
    real = MediaFile.seek
    monkeypatch.setattr(
        MediaFile,
        "seek",
        lambda self, ticks, stream: seeks.append(ticks) or real(self, ticks, stream),
    )
    decode(content, at(*strided(truth, 0, 3, 10)), AS_STORED)
    assert seeks == []
    decode(content, at(*strided(truth, 0, 30, 2)), AS_STORED)
    assert len(seeks) == 1


def spoilt(content: bytes, spoilt_pts: int, path: Path) -> bytes:
    """The same packets, of which one holds a slice that cannot be decoded."""
    with (
        av.open(io.BytesIO(content), mode="r") as inner,
        av.open(path, "w", format="matroska") as out,
    ):
        stream = out.add_stream_from_template(inner.streams.video[0])
        base_s = inner.streams.video[0].time_base or 1
        for packet in inner.demux(inner.streams.video[0]):
            if packet.dts is None or packet.pts is None:
                continue
            copy = packet
            if round(packet.pts * base_s * 30) == spoilt_pts:
                copy = av.Packet(bytes(packet)[:5] + b"\xff" * (packet.size - 5))
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.time_base = packet.time_base
            copy.stream = stream
            out.mux(copy)
    return path.read_bytes()


def test_a_spared_frame_is_there_when_its_successor_is_damaged(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content, _ = variant(tmp_path_factory.getbasetemp(), "b3")
    # Frame 6 is spare and ends frame 5's display; damaged, it leaves 5 on display in its place.
    damaged = spoilt(content, 6, tmp_path / "damaged.mkv")
    truth = full_video(damaged)
    assert len(truth.frames) == NUM_FRAMES - 1
    times_s = [0.0, 6.5 / 30, 10.5 / 30]
    clip = decode(damaged, at(*times_s), AS_STORED)
    wanted = [shown(truth, time_s) for time_s in times_s]
    assert clip.pts_s == pytest.approx(truth.pts_s[wanted])
    assert clip.pts_s[1] == pytest.approx(5 / 30, abs=1e-3)
    assert clip.video is not None
    assert np.array_equal(clip.video[1], rgb(truth.frames[wanted[1]], 64, 48))
    assert clip.num_bad_packets == 1


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("action/asl_gestures/eat.mkv", 8),
        ("odd/bbb_surround_6ch.mp4", 7),
        ("odd/nasa_hevc_10bit_hdr.mp4", 10),
        ("av/film_friday.mp4", 4),
    ],
)
def test_real_clips_lose_packets_and_no_pixels(media_root: Path, name: str, least: int) -> None:
    content = (media_root / name).read_bytes()
    truth = full_video(content)
    for start, stride in ((0, 4), (7, 2), (10, 3)):
        times_s = strided(truth, start, stride, 8)
        clip = decode(content, at(*times_s), Geometry(short_side_px=48))
        assert clip.video is not None
        height_px, width_px = clip.video.shape[1:3]
        expected = [rgb(truth.frames[shown(truth, t)], width_px, height_px) for t in times_s]
        assert np.array_equal(clip.video, np.stack(expected))
    assert num_spared(content, strided(truth, 0, 4, 8)) >= least


def test_streams_without_times_of_display_lose_nothing(tmp_path: Path) -> None:
    for container_format in ("avi", "h264"):
        path = tmp_path / container_format
        content = write(path, container_format, (1,), "bframes=3:b-adapt=0:b-pyramid=none")
        assert num_spared(content, [0.01, 0.8]) == 0
