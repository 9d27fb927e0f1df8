"""Proves that the frame shown at a wanted time is the right one, however the file is made.

Truths: the number that each synthetic frame carries, a full decode with a search one by one, and
the `ffmpeg` command.
"""

import functools
import io
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avrep.errors import MediaError
from avrep.media.decode import decode, decode_views
from avrep.media.frame_code import read_frame_number
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Clip, Geometry

from .decode_truth import Slow, at, full_video, rgb, shown, write_numbered

AS_STORED = Geometry()
FPS = Fraction(24)
SPECS = {
    "plain.mp4": TimingSpec(),
    "plain.mkv": TimingSpec(),
    "long_group.mp4": TimingSpec(gop_frames=72, num_b_frames=4),
    "variable_rate.mp4": TimingSpec(durations=(1, 3, 2)),
    "variable_rate.mkv": TimingSpec(durations=(1, 5, 2), gop_frames=7),
    "late_picture.mp4": TimingSpec(video_start_s=Fraction(1, 3)),
    "late_both.mov": TimingSpec(
        video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2), audio_codec="pcm_s16le"
    ),
    "turned.mov": TimingSpec(rotation_deg=90),
    "upside_down.mp4": TimingSpec(rotation_deg=180),
}
CONTAINERS = {
    "avi_mpeg4": ("mpeg4", "avi", {}),
    # AVI has no times of display: its stamps for reordered H.264 are those of decoding.
    "avi_h264": ("libx264", "avi", {}),
    "mpegts_h264": ("libx264", "mpegts", {}),
    "mpegts_mpeg2": ("mpeg2video", "mpegts", {}),
    "program_stream": ("mpeg2video", "mpeg", {}),
    "flv": ("libx264", "flv", {}),
    "open_groups": ("libx264", "mp4", {"x264-params": "open-gop=1"}),
    "matroska_open_groups": ("libx264", "matroska", {"x264-params": "open-gop=1"}),
    "mpegts_open_groups": ("libx264", "mpegts", {"x264-params": "open-gop=1"}),
    # No times at all.
    "bare_h264": ("libx264", "h264", {}),
}
ODD_VIDEOS = [
    "bbb_surround_6ch.mp4",
    "discard_first_keyframe.mp4",
    "flower_h264_fragmented.mp4",
    "flower_vp8.webm",
    "nasa_hevc_10bit_hdr.mp4",
    "nasa_rotated_metadata.mp4",
    "no_duration_vfr_vp9_opus.webm",
    "non_zero_start.mp4",
    "pattern_av1.mkv",
    "pattern_h264_10bit.mp4",
    "pattern_hevc.mp4",
    "pattern_hevc_10bit.mp4",
    "pattern_mpeg1_mp2.mpg",
    "pattern_odd_size_121x81_mpeg2.mp4",
    "pattern_odd_size_321x241_h264_444.mp4",
    "pattern_one_frame_mpeg4.mp4",
    "rotate_90.mov",
    "truncated_60pct.mpg",
    "unordered_pts_50x50.mov",
    "video_with_failing_audio.mp4",
]
REAL_VIDEOS = [
    "action/gmdcsa24/subject1_Fall_13.mp4",
    "action/gmdcsa24_ucfstyle/videos/Sit/v_Sit_g01_c02.avi",
    "action/asl_gestures/eat.mkv",
    "av/film_friday.mp4",
    "av/nasa_13013.mp4",
    "av/grid/bbaf2n.mpg",
]
LARGE = {
    "odd/flower_h264_fragmented.mp4",
    "odd/flower_vp8.webm",
    "odd/no_duration_vfr_vp9_opus.webm",
    "odd/video_with_failing_audio.mp4",
}
MANY = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbers(clip: Clip) -> list[int | None]:
    assert clip.video is not None
    return [read_frame_number(frame) for frame in clip.video]


@functools.cache
def slow(path: Path) -> tuple[bytes, Slow]:
    content = path.read_bytes()
    return content, full_video(content)


@pytest.mark.parametrize("name", SPECS)
@MANY
@given(st.lists(st.floats(-0.5, 10.0), min_size=1, max_size=8))
def test_numbered_frames_are_those_on_display(
    tmp_path_factory: pytest.TempPathFactory, name: str, times_s: list[float]
) -> None:
    content, starts_s = _timing_clip(tmp_path_factory.getbasetemp(), name)
    clip = decode(content, at(*times_s), AS_STORED)
    wanted = [max([0, *(i for i, s in enumerate(starts_s) if s <= t + 1e-6)]) for t in times_s]
    assert numbers(clip) == wanted
    assert clip.pts_s == pytest.approx([starts_s[i] for i in wanted], abs=1e-9)
    assert clip.num_bad_packets == 0


@functools.cache
def _timing_clip(folder: Path, name: str) -> tuple[bytes, list[float]]:
    truth = write_timing_clip(folder / name, SPECS[name])
    starts_s = [float(t - truth.start_s) for t in truth.frame_times_s]
    if name.endswith(".mkv"):
        starts_s = [round(t, 3) for t in starts_s]
    return (folder / name).read_bytes(), starts_s


@pytest.mark.parametrize("name", CONTAINERS)
@MANY
@given(st.lists(st.integers(0, 39), min_size=1, max_size=6))
def test_every_container_leads_to_the_same_frames(
    tmp_path_factory: pytest.TempPathFactory, name: str, frames: list[int]
) -> None:
    content, first_s = _container_clip(tmp_path_factory.getbasetemp(), name)
    clip = decode(content, at(*(first_s + (i + 0.5) / 25 for i in frames)), AS_STORED)
    assert numbers(clip) == frames


@functools.cache
def _container_clip(folder: Path, name: str) -> tuple[bytes, float]:
    content = write_numbered(folder / name, *CONTAINERS[name][:2], options=CONTAINERS[name][2])
    data = content.read_bytes()
    # Where a container starts late, its first frame is still frame 0.
    return data, float(decode(data, at(-1.0), AS_STORED).pts_s[0])


@pytest.mark.media
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name
        for name in [f"odd/{name}" for name in ODD_VIDEOS] + REAL_VIDEOS
    ],
)
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_real_frames_are_those_of_a_full_decode(
    media_root: Path, name: str, data: st.DataObject
) -> None:
    content, truth = slow(media_root / name)
    anywhere = st.floats(truth.pts_s[0] - 0.5, truth.pts_s[-1] + 0.5)
    starts = st.sampled_from(truth.pts_s.tolist())
    times_s = data.draw(st.lists(st.one_of(anywhere, starts), min_size=1, max_size=5))
    clip = decode(content, at(*times_s), Geometry(short_side_px=48))
    wanted = [shown(truth, time_s) for time_s in times_s]
    assert clip.pts_s == pytest.approx(truth.pts_s[wanted], abs=1e-9)
    assert clip.video is not None
    height_px, width_px = clip.video.shape[1:3]
    for frame, number in zip(clip.video, wanted, strict=True):
        expected = rgb(truth.frames[number], width_px, height_px)
        assert np.array_equal(frame, expected), f"another picture than frame {number}"


@pytest.mark.media
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg command")
@pytest.mark.parametrize(
    ("name", "size", "time_s", "start_s"),
    [
        ("odd/flower_h264.mp4", (960, 540), 3.2, 0.0),
        ("odd/rotate_90.mov", (320, 568), 0.04, 0.0),
        ("odd/rotate_180.mov", (568, 320), 0.04, 0.0),
        ("odd/rotate_270.mov", (320, 568), 0.04, 0.0),
        ("odd/nasa_rotated_metadata.mp4", (270, 480), 0.25, 0.0),
        ("odd/discard_first_keyframe.mp4", (64, 64), 0.5, 0.0),
        ("odd/pattern_hevc.mp4", (128, 128), 0.35, 0.0),
        ("odd/non_zero_start.mp4", (200, 112), 0.31, 8.333008),
        ("av/film_friday.mp4", (640, 480), 4.01, 0.0),
        ("av/grid/bbaf2n.mpg", (360, 288), 1.5, 0.0),
    ],
)
def test_the_ffmpeg_command_shows_the_same_picture(
    media_root: Path, name: str, size: tuple[int, int], time_s: float, start_s: float
) -> None:
    # One more frame a tick of 10 ms than there are, each a repeat of the one on display.
    number = round(time_s * 100)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-copyts", "-i", media_root / name, "-vf",
         f"setpts=PTS-{start_s}/TB,fps=100:round=up,select=eq(n\\,{number})", "-vsync", "0",
         "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    expected = np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3)
    clip = decode((media_root / name).read_bytes(), at(time_s), AS_STORED)
    assert clip.video is not None
    assert np.abs(clip.video[0].astype(int) - expected).mean() < 2.0


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "shape"),
    [("none", (320, 568)), ("90", (568, 320)), ("180", (320, 568)), ("270", (568, 320))],
)
def test_phone_recordings_are_as_tall_as_they_were_held(
    media_root: Path, name: str, shape: tuple[int, int]
) -> None:
    # Four recordings of a keyboard; that its letters stand upright is what ffmpeg compares above.
    clip = decode((media_root / "odd" / f"rotate_{name}.mov").read_bytes(), at(0.0), AS_STORED)
    assert clip.video is not None
    assert clip.video[0].shape == (*shape, 3)


def test_order_and_repeats_are_the_callers(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4").read_bytes()
    frames = [39, 3, 3, 17, 0, 39, 16, 17]
    clip = decode(content, at(*((i + 0.5) / 25 for i in frames)), AS_STORED)
    assert numbers(clip) == frames


def test_views_come_out_as_if_decoded_one_by_one(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "c.mp4", TimingSpec())
    content = (tmp_path / "c.mp4").read_bytes()
    views = [
        at(0.1, 0.3, 2.0, audio_s=(0.0, 0.5)),
        at(2.5, 0.3, audio_s=(0.3, 0.30001)),
        at(audio_s=(1.0, 1.25)),
        at(1.0),
    ]
    geometry = Geometry(short_side_px=40, rate_hz=8000)
    together = decode_views(io.BytesIO(content), views, geometry)
    for view, clip in zip(views, together, strict=True):
        alone = decode(content, view, geometry)
        assert (clip.video is None) == (len(view.frames_s) == 0)
        for a, b in (
            (clip.video, alone.video),
            (clip.audio, alone.audio),
            (clip.pts_s, alone.pts_s),
        ):
            assert (a is None and b is None) or np.array_equal(np.asarray(a), np.asarray(b))
        assert (clip.rate_hz, clip.audio_start_s) == (alone.rate_hz, alone.audio_start_s)
    assert decode_views(content, [], geometry) == ()


def test_views_of_unlike_size_and_rate_come_out_as_if_decoded_one_by_one(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "c.mp4", TimingSpec())
    content = (tmp_path / "c.mp4").read_bytes()
    small, large = Geometry(short_side_px=40, rate_hz=8000), Geometry(rate_hz=None)
    # The same instants at both sizes, between others, in an order of their own.
    wanted = [
        (at(0.1, 0.3, 2.0, audio_s=(0.0, 0.5)), small),
        (at(2.0, 0.3, 0.1, audio_s=(0.1, 0.6)), large),
        (at(audio_s=(1.0, 1.25)), small),
        (at(0.3, 2.5), small),
    ]
    views, geometries = zip(*wanted, strict=True)
    together = decode_views(content, views, geometries)
    for view, geometry, clip in zip(views, geometries, together, strict=True):
        alone = decode(content, view, geometry)
        for a, b in (
            (clip.video, alone.video),
            (clip.audio, alone.audio),
            (clip.pts_s, alone.pts_s),
        ):
            assert (a is None and b is None) or np.array_equal(np.asarray(a), np.asarray(b))
        assert (clip.rate_hz, clip.audio_start_s) == (alone.rate_hz, alone.audio_start_s)
    sizes = [None if clip.video is None else clip.video.shape[1] for clip in together]
    assert sizes == [40, 96, None, 40]


@pytest.mark.parametrize(
    ("short_side_px", "size"), [(None, (96, 128)), (48, (48, 64)), (120, (120, 160))]
)
def test_the_short_side_is_as_asked(
    tmp_path: Path, short_side_px: int | None, size: tuple[int, int]
) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", num_frames=3).read_bytes()
    clip = decode(content, at(0.0, 0.05), Geometry(short_side_px=short_side_px))
    assert clip.video is not None
    assert clip.video.shape == (2, *size, 3)


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_numbered(
        tmp_path / "n.mp4", "libx264", "mp4", num_frames=200, gop_frames=10
    ).read_bytes()
    decoded = []
    real = MediaFile.decode_video
    monkeypatch.setattr(
        MediaFile, "decode_video", lambda self, packet: decoded.append(1) or real(self, packet)
    )
    clip = decode(content, at(4.02, 7.3), AS_STORED)
    assert numbers(clip) == [100, 182]
    # Two groups of ten, and the few packets by which the decoder lags.
    assert len(decoded) < 30


def test_a_seek_that_lands_late_is_mended_without_starting_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_numbered(
        tmp_path / "n.mp4", "libx264", "mp4", num_frames=200, gop_frames=10
    ).read_bytes()
    decoded = []
    seek, decode_video = MediaFile.seek, MediaFile.decode_video
    half_s = 12800 // 2
    monkeypatch.setattr(MediaFile, "seek", lambda self, t, stream: seek(self, t + half_s, stream))
    monkeypatch.setattr(
        MediaFile, "decode_video", lambda self, p: decoded.append(1) or decode_video(self, p)
    )
    clip = decode(content, at(4.02, 7.3, 7.9), AS_STORED)
    assert numbers(clip) == [100, 182, 197]
    assert len(decoded) < 100


@pytest.mark.parametrize("container_format", ["mp4", "matroska", "mpegts", "h264"])
def test_times_far_off_give_the_first_and_last_frame(tmp_path: Path, container_format: str) -> None:
    content = write_numbered(tmp_path / "n", "libx264", container_format).read_bytes()
    assert numbers(decode(content, at(-1e300, 1e300, 1e18), AS_STORED)) == [0, 39, 39]


def test_too_many_bytes_are_refused_before_they_are_there(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", num_frames=3).read_bytes()
    one = 96 * 128 * 3
    limits = DecodeLimits(max_output_bytes=4 * one)
    decode(content, at(*[0.0] * 4), AS_STORED, limits=limits)
    with pytest.raises(MediaError, match="bytes of frames") as caught:
        decode(content, at(*[0.0] * 5), AS_STORED, limits=limits)
    assert caught.value.stage == "limits"


@pytest.mark.media
def test_frames_of_a_sound_file_are_refused(media_root: Path) -> None:
    content = (media_root / "odd" / "mp3_with_cover_art.mp3").read_bytes()
    with pytest.raises(MediaError, match="no video stream") as caught:
        decode(content, at(0.0), AS_STORED)
    assert caught.value.stage == "video"


@pytest.mark.parametrize("time_s", [float("nan"), float("inf")])
def test_times_that_are_no_times_are_the_callers_mistake(time_s: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        decode(b"", at(time_s), AS_STORED)
