"""Proves that decord and torchcodec give what PyAV gives, or say that they cannot.

decord runs in a process of its own here too: a crash of its is then one failed test.
"""

import functools
import importlib.util
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError, MediaError
from avrep.media.decode import DecoderName, decode, decode_views
from avrep.media.frame_code import read_frame_number
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Clip, ClipTimes, Geometry

from .decode_truth import at
from .mp4_tables import claiming_frames, pointing_past_the_end

DECODERS: tuple[DecoderName, ...] = ("decord", "torchcodec")
SPECS = {
    "plain.mp4": TimingSpec(),
    "long_group.mp4": TimingSpec(gop_frames=72, num_b_frames=4),
    "variable_rate.mkv": TimingSpec(durations=(1, 3, 2)),
    "late_picture.mp4": TimingSpec(video_start_s=Fraction(1, 3)),
    "turned.mov": TimingSpec(rotation_deg=270),
    "upside_down.mov": TimingSpec(rotation_deg=180),
}
GOOD = [
    "action/gmdcsa24/subject1_ADL_10.mp4",
    "action/gmdcsa24_ucfstyle/videos/Sit/v_Sit_g01_c02.avi",
    "action/asl_gestures/eat.mkv",
    "av/film_friday.mp4",
    "av/nasa_13013.mp4",
    "odd/flower_h264_fragmented.mp4",
    "odd/nasa_rotated_metadata.mp4",
    "odd/non_zero_start.mp4",
    "odd/rotate_180.mov",
]
# Where the library was seen to give other frames than those on display.
REFUSED = {
    "decord": [
        "av/grid/bbaf2n.mpg",
        "odd/discard_first_keyframe.mp4",
        "odd/no_duration_vfr_vp9_opus.webm",
        "odd/pattern_av1.mkv",
        "odd/pattern_hevc.mp4",
    ],
    "torchcodec": ["av/grid/bbaf2n.mpg", "odd/discard_first_keyframe.mp4"],
}
# A child process takes a second: these stand for the rest in the fast tests.
QUICK = {"variable_rate.mkv", "turned.mov", "av/grid/bbaf2n.mpg", "odd/discard_first_keyframe.mp4"}
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
# Mean absolute difference in levels: none at the stored size on these files; resized, the colour
# is converted before instead of after.
TOLERANCE = {None: 0.5, 64: 2.5}


def decode_with(
    name: DecoderName, path: Path, times: ClipTimes, sizes: list[Geometry], folder: Path
) -> list[Clip]:
    """A clip for each geometry, by way of a child process for decord."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "decord":
        return _decode_in_a_child(path, times, sizes, folder)
    content = path.read_bytes()
    try:
        return [decode(content, times, geometry, decoder=name) for geometry in sizes]
    except ConfigError as error:
        pytest.skip(str(error))


_CHILD = """
import sys, numpy as np
from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.types import ClipTimes, Geometry
times = ClipTimes(frames_s=np.array({frames_s}), audio_s={audio_s})
content = open(sys.argv[1], "rb").read()
try:
    for number, geometry in enumerate({sizes}):
        clip = decode(content, times, geometry, decoder="decord")
        audio = np.zeros(0, np.float32) if clip.audio is None else clip.audio
        np.savez(f"{{sys.argv[2]}}/{{number}}.npz", video=clip.video, pts_s=clip.pts_s, audio=audio)
except MediaError as error:
    sys.exit(f"MediaError {{error.stage}} {{error.reason}}")
"""


def _decode_in_a_child(
    path: Path, times: ClipTimes, sizes: list[Geometry], folder: Path
) -> list[Clip]:
    code = _CHILD.format(frames_s=times.frames_s.tolist(), audio_s=times.audio_s, sizes=sizes)
    child = subprocess.run(
        [sys.executable, "-c", code, path, folder],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if child.returncode == 1 and "MediaError " in child.stderr:
        stage, _, reason = child.stderr.rpartition("MediaError ")[2].strip().partition(" ")
        raise MediaError(stage, reason)
    assert child.returncode == 0, child.stderr
    clips = []
    for number in range(len(sizes)):
        with np.load(folder / f"{number}.npz") as saved:
            audio = saved["audio"] if times.audio_s else None
            clips.append(Clip(video=saved["video"], pts_s=saved["pts_s"], audio=audio))
    return clips


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("clip_name", [c if c in QUICK else slow(c) for c in SPECS])
def test_numbered_frames_are_those_on_display(
    tmp_path: Path, name: DecoderName, clip_name: str
) -> None:
    path = tmp_path / clip_name
    truth = write_timing_clip(path, SPECS[clip_name])
    starts_s = np.array([float(t - truth.start_s) for t in truth.frame_times_s])
    rng = np.random.default_rng(17)
    times_s = rng.uniform(-0.2, starts_s[-1] + 0.3, 24)
    [clip] = decode_with(name, path, at(*times_s), [Geometry()], tmp_path)
    assert clip.video is not None
    # Half a millisecond, for Matroska's whole ones.
    wanted = [max(0, int((starts_s <= t + 5e-4).sum()) - 1) for t in times_s]
    assert [read_frame_number(frame) for frame in clip.video] == wanted
    same = decode(path.read_bytes(), at(*times_s), Geometry())
    assert np.array_equal(clip.pts_s, same.pts_s)


@pytest.mark.slow
@pytest.mark.media
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("file", GOOD)
def test_real_frames_agree_with_pyav(
    media_root: Path, tmp_path: Path, name: DecoderName, file: str
) -> None:
    path = media_root / file
    pts_s = decode(path.read_bytes(), at(1e6), Geometry(short_side_px=16)).pts_s
    times_s = np.random.default_rng(3).uniform(0, pts_s[-1], 5)
    sizes = [Geometry(short_side_px=side) for side in TOLERANCE]
    found = decode_with(name, path, at(*times_s), sizes, tmp_path)
    for theirs, geometry, tolerance in zip(found, sizes, TOLERANCE.values(), strict=True):
        ours = decode(path.read_bytes(), at(*times_s), geometry)
        assert ours.video is not None
        assert theirs.video is not None
        assert np.array_equal(ours.pts_s, theirs.pts_s)
        difference = np.abs(ours.video.astype(int) - theirs.video).mean(axis=(1, 2, 3))
        assert difference.max() <= tolerance


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "file"), [(n, f) if f in QUICK else slow(n, f) for n in DECODERS for f in REFUSED[n]]
)
def test_what_a_library_gets_wrong_is_refused(
    media_root: Path, tmp_path: Path, name: DecoderName, file: str
) -> None:
    times = at(*np.linspace(0.0, 1.0, 8))
    with pytest.raises(MediaError) as caught:
        decode_with(name, media_root / file, times, [Geometry()], tmp_path)
    assert caught.value.stage == "video"
    assert decode((media_root / file).read_bytes(), times, Geometry()).video is not None


def test_decord_does_not_read_past_the_end_of_a_file(tmp_path: Path) -> None:
    """Of bytes in memory it does, and ends the process: the file must reach it as a file."""
    path = tmp_path / "c.mp4"
    write_timing_clip(path, TimingSpec())
    path.write_bytes(pointing_past_the_end(path.read_bytes()))
    [clip] = decode_with("decord", path, at(0.1, 2.5), [Geometry()], tmp_path)
    assert clip.video is not None
    assert read_frame_number(clip.video[0]) == read_frame_number(
        np.asarray(decode(path.read_bytes(), at(0.1), Geometry()).video)[0]
    )


def test_decord_makes_no_room_for_frames_that_a_file_only_claims(tmp_path: Path) -> None:
    path = tmp_path / "c.mp4"
    write_timing_clip(path, TimingSpec())
    path.write_bytes(claiming_frames(path.read_bytes(), 2_000_000_000))
    with pytest.raises(MediaError, match=r"says that it has 2,000,000,\d+ frames") as caught:
        decode_with("decord", path, at(0.1), [Geometry()], tmp_path)
    assert caught.value.stage == "video"
    assert decode(path.read_bytes(), at(0.1), Geometry()).video is not None


@pytest.mark.parametrize("name", DECODERS)
def test_sound_is_the_same_whoever_decodes_the_picture(tmp_path: Path, name: DecoderName) -> None:
    path = tmp_path / "c.mp4"
    write_timing_clip(path, TimingSpec())
    times = at(0.5, audio_s=(0.25, 1.5))
    ours = decode(path.read_bytes(), times, Geometry(rate_hz=8000))
    [theirs] = decode_with(name, path, times, [Geometry(rate_hz=8000)], tmp_path)
    assert ours.audio is not None
    assert theirs.audio is not None
    assert np.array_equal(ours.audio, theirs.audio)


@pytest.mark.parametrize("name", DECODERS)
def test_views_of_unlike_size_come_out_as_if_decoded_one_by_one(
    tmp_path: Path, name: DecoderName
) -> None:
    write_timing_clip(tmp_path / "c.mp4", TimingSpec())
    content = (tmp_path / "c.mp4").read_bytes()
    views = [at(0.1, 2.0, 0.1), at(2.0, 0.1)]
    geometries = [Geometry(short_side_px=40), Geometry(short_side_px=64)]
    together = decode_views(content, views, geometries, decoder=name)
    for view, geometry, clip in zip(views, geometries, together, strict=True):
        alone = decode(content, view, geometry, decoder=name)
        assert np.array_equal(np.asarray(clip.video), np.asarray(alone.video))
        assert np.array_equal(clip.pts_s, alone.pts_s)


@pytest.mark.parametrize("name", DECODERS)
def test_a_missing_library_is_told_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: DecoderName
) -> None:
    path = tmp_path / "c.mp4"
    write_timing_clip(path, TimingSpec(num_frames=12, flash_frames=(6,)))
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f"{name}.decoders", None)
    with pytest.raises(ConfigError, match=rf"{name}.*mend: .*decoder: pyav"):
        decode(path.read_bytes(), at(0.1), Geometry(), decoder=name)


def test_the_default_decoder_loads_neither_torch_nor_decord() -> None:
    code = "import sys, avrep.media.decode; print([m for m in ('torch', 'decord') if m in sys.modules])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
