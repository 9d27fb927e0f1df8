"""Proves, from the decoded files, that flashes and beeps are where the truth says: frames by their
numbers and times exactly, beeps by correlation to the sample.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer

from avrep.errors import ConfigError
from avrep.media.frame_code import read_frame_number
from avrep.media.synth_sound import beep
from avrep.media.synth_timing import TimingSpec, TimingTruth, timing_truth, write_timing_clip
from avrep.media.synth_write import Rotation

VARIANTS = {
    "plain.mp4": TimingSpec(),
    "plain.mkv": TimingSpec(),
    "no_b_frames.mp4": TimingSpec(num_b_frames=0),
    "deep_b_frames.mp4": TimingSpec(num_b_frames=4, gop_frames=24),
    "variable_rate.mp4": TimingSpec(durations=(1, 3, 2), num_frames=40, flash_frames=(6, 21)),
    "variable_rate.mkv": TimingSpec(durations=(1, 3, 2), num_frames=40, flash_frames=(6, 21)),
    "late_start.mp4": TimingSpec(video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2)),
    "late_start.mov": TimingSpec(
        video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2), audio_codec="pcm_s16le"
    ),
    "late_start.mkv": TimingSpec(video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2)),
    "late_picture.mp4": TimingSpec(video_start_s=Fraction(1, 3)),
    "late_sound.mp4": TimingSpec(audio_start_s=Fraction(1, 4)),
    "late_sound.mov": TimingSpec(audio_start_s=Fraction(1, 3), rate_hz=48000),
    "pcm.mov": TimingSpec(audio_codec="pcm_s16le"),
    "pcm.mkv": TimingSpec(audio_codec="pcm_s16le"),
    "ntsc.mov": TimingSpec(fps=Fraction(30000, 1001), rate_hz=44100),
    "ntsc_pcm.mov": TimingSpec(fps=Fraction(30000, 1001), audio_codec="pcm_s16le"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, TimingTruth]]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: (folder / name, write_timing_clip(folder / name, spec))
        for name, spec in VARIANTS.items()
    }


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    with av.open(path, "r") as container:
        yield container


def decoded_frames(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    with opened(path) as container:
        return [
            (
                Fraction(frame.pts or 0) * Fraction(frame.time_base or 1),
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8),
            )
            for frame in container.decode(container.streams.video[0])
        ]


def decoded_sound(path: Path) -> tuple[Fraction, int, np.ndarray]:
    """(time of the first sample, rate, float64[s])."""
    with opened(path) as container:
        frames = list(container.decode(container.streams.audio[0]))
    first = frames[0]
    due_s = Fraction(first.pts or 0) * Fraction(first.time_base or 1)
    for frame in frames:
        # No gap and no overlap between one frame and the next; Matroska keeps milliseconds.
        shown_s = Fraction(frame.pts or 0) * Fraction(frame.time_base or 1)
        assert abs(shown_s - due_s) <= (Fraction(1, 1000) if path.suffix == ".mkv" else 0)
        due_s += Fraction(frame.samples, frame.sample_rate)
    sound = np.concatenate([np.asarray(frame.to_ndarray(), np.float64)[0] for frame in frames])
    sound /= 32767 if first.format.name.startswith("s16") else 1
    return Fraction(first.pts or 0) * Fraction(first.time_base or 1), first.sample_rate, sound


def heard_s(path: Path, around_s: Fraction) -> Fraction:
    """When the beep nearest to a time begins, by its best match."""
    start_s, rate_hz, sound = decoded_sound(path)
    match = np.correlate(sound, beep(rate_hz), "valid")
    low = max(0, int((around_s - start_s) * rate_hz) - rate_hz // 5)
    found = low + int(np.argmax(match[low : low + 2 * rate_hz // 5]))
    return start_s + Fraction(found, rate_hz)


@pytest.mark.parametrize("name", VARIANTS)
def test_decoded_frames_have_their_numbers_and_times(
    name: str, clips: dict[str, tuple[Path, TimingTruth]]
) -> None:
    spec = VARIANTS[name]
    path, truth = clips[name]
    frames = decoded_frames(path)
    assert [read_frame_number(pixels) for _, pixels in frames] == list(range(spec.num_frames))
    # Matroska keeps whole milliseconds, the others their time base.
    tolerance_s = Fraction(1, 2000) if name.endswith("mkv") else Fraction(0)
    for (time_s, _), true_s in zip(frames, truth.frame_times_s, strict=True):
        assert abs(time_s - true_s) <= tolerance_s
    brightness = [float(pixels[12:].mean()) for _, pixels in frames]
    white = [number for number, level in enumerate(brightness) if level > 200]
    assert tuple(white) == spec.flash_frames
    assert tuple(truth.frame_times_s[number] for number in white) == truth.flash_s
    assert max(level for level in brightness if level < 200) < 80


@pytest.mark.parametrize("name", VARIANTS)
def test_decoded_beeps_begin_on_their_samples(
    name: str, clips: dict[str, tuple[Path, TimingTruth]]
) -> None:
    spec = VARIANTS[name]
    path, truth = clips[name]
    for beep_s, flash_s in zip(truth.beep_s, truth.flash_s, strict=True):
        assert heard_s(path, beep_s) == beep_s
        assert abs(beep_s - flash_s) <= Fraction(1, 2 * spec.rate_hz)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_earliest_stream_begins_when_told(
    name: str, clips: dict[str, tuple[Path, TimingTruth]]
) -> None:
    path, truth = clips[name]
    first_frame_s = decoded_frames(path)[0][0]
    first_sample_s = decoded_sound(path)[0]
    # Within the whole milliseconds of Matroska.
    assert abs(min(first_frame_s, first_sample_s) - truth.start_s) <= Fraction(1, 2000)


def test_the_truth_of_the_plain_clip_is_the_one_worked_by_hand() -> None:
    truth = timing_truth(TimingSpec())
    assert truth.flash_s == (Fraction(3, 8), Fraction(9, 8), Fraction(2))
    assert truth.beep_s == truth.flash_s
    assert truth.beep_samples == (6000, 18000, 32000)
    assert truth.end_s == 3
    assert truth.start_s == 0
    varied = timing_truth(TimingSpec(durations=(1, 3), num_frames=5, flash_frames=(4,)))
    assert [int(time_s * 24) for time_s in varied.frame_times_s] == [0, 1, 4, 5, 8]
    assert varied.end_s == Fraction(9, 24)


def test_lossless_sound_is_kept_to_the_bit(tmp_path: Path) -> None:
    truth = write_timing_clip(tmp_path / "a.mkv", VARIANTS["pcm.mkv"])
    start_s, rate_hz, sound = decoded_sound(tmp_path / "a.mkv")
    expected = np.zeros(48000, np.int64)
    for start in truth.beep_samples:
        expected[start : start + 320] = np.rint(beep(rate_hz) * np.float32(32767))
    assert start_s == 0
    assert np.array_equal(np.rint(sound * 32767), expected)
    assert abs(sound * 32767 - expected).max() < 1e-9


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotated_clips_come_upright_when_turned_clockwise(
    rotation_deg: Rotation, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"turned{suffix}"
    write_timing_clip(path, TimingSpec(rotation_deg=rotation_deg, num_frames=12, flash_frames=(3,)))
    with opened(path) as container:
        frame = next(container.decode(container.streams.video[0]))
    assert frame.rotation % 360 == -rotation_deg % 360
    stored = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    assert stored.shape == ((96, 128, 3) if rotation_deg % 180 == 0 else (128, 96, 3))
    assert read_frame_number(np.rot90(stored, -rotation_deg // 90)) == 0
    if rotation_deg:
        assert read_frame_number(stored) is None


def test_b_frames_and_key_frames_are_as_asked(tmp_path: Path) -> None:
    for name, some in (("plain.mp4", True), ("no_b_frames.mp4", False)):
        write_timing_clip(tmp_path / name, VARIANTS[name])
        with opened(tmp_path / name) as container:
            frames = list(container.decode(container.streams.video[0]))
        assert any(frame.pict_type == 3 for frame in frames) == some
        assert [n for n, frame in enumerate(frames) if frame.key_frame] == [0, 12, 24, 36, 48, 60]


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("a.avi", lambda: TimingSpec(), "must end in one of"),
        ("a.mp4", lambda: TimingSpec(audio_codec="pcm_s16le"), "takes aac"),
        (
            "a.mp4",
            lambda: TimingSpec(flash_frames=(1,), audio_start_s=Fraction(1, 4)),
            "the beep of frame 1",
        ),
        (
            "a.mp4",
            lambda: TimingSpec(fps=Fraction(60), flash_frames=(71,)),
            "the beep of frame 71",
        ),
        ("a.mp4", lambda: TimingSpec(flash_frames=(72,)), "flash_frames"),
        ("a.mp4", lambda: TimingSpec(audio_start_s=Fraction(1, 100)), "audio_start_s"),
        ("a.mkv", lambda: TimingSpec(audio_start_s=Fraction(1, 7)), "audio_start_s"),
        ("a.mp4", lambda: TimingSpec(video_start_s=Fraction(1, 100)), "video_start_s"),
        ("a.mp4", lambda: TimingSpec(durations=(1, 0)), "durations"),
        ("a.mp4", lambda: TimingSpec(durations=()), "durations"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    name: str, spec: Callable[[], TimingSpec], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_timing_clip(tmp_path / name, spec())
    assert list(tmp_path.iterdir()) == []


def test_a_beep_beneath_the_last_frame_is_whole(tmp_path: Path) -> None:
    truth = write_timing_clip(tmp_path / "a.mp4", TimingSpec(flash_frames=(71,)))
    assert heard_s(tmp_path / "a.mp4", truth.beep_s[0]) == truth.beep_s[0]
