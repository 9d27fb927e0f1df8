"""Proves that sound is exact to the sample, on the clock of the picture.

Truths: the `wave` module, a full decode cut by sample numbers, the `ffmpeg` command, tones worked
out on paper, and beeps whose first samples are known.
"""

import functools
import io
import itertools
import math
import shutil
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avrep import units
from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.synth_sound import beep
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Audio, Geometry

from .decode_truth import at, full_sound, interval

NATIVE = Geometry()
REAL_SOUNDS = [
    "av/film_friday.mp4",
    "av/grid/bbaf2n.mpg",
    "av/nasa_13013.mp4",
    "action/gmdcsa24_ucfstyle/videos/Sit/v_Sit_g01_c02.avi",
    "odd/audio_only_8k_stereo.mp3",
    "odd/bbb_surround_6ch.mp4",
    "odd/flower_vp8.webm",
    "odd/mp3_with_cover_art.mp3",
    "odd/no_duration_vfr_vp9_opus.webm",
    "odd/pattern_mpeg1_mp2.mpg",
    "odd/rir_8ch_0.1s.wav",
    "odd/speech_8k_stereo.sph",
    "odd/speech_stereo.opus",
    "odd/tone_16ch_s16.wav",
    "odd/tone_f32_16k.wav",
    "odd/tone_s24_16k.wav",
    "odd/tone_s32_8k.wav",
    "odd/tone_u8_16k.wav",
    "odd/truncated_60pct.mpg",
    "odd/video_with_failing_audio.mp4",
    "sound/mdn/guitar.ogg",
    "speech/sentences/librispeech_2412-153948-0000.flac",
    "speech/sentences/librispeech_3436-172162-0000.ogg",
]
FEW = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sound(content: bytes, start_s: float, end_s: float, rate_hz: int | None = None) -> Audio:
    clip = decode(content, at(audio_s=(start_s, end_s)), Geometry(rate_hz=rate_hz))
    assert clip.audio is not None
    assert clip.video is None
    rate = clip.rate_hz
    assert clip.audio_start_s == units.sample_at(start_s, rate) / rate
    assert len(clip.audio) == units.num_samples(start_s, end_s, rate)
    return clip.audio


@functools.cache
def slow(path: Path) -> tuple[bytes, npt.NDArray[np.float64], int, int]:
    content = path.read_bytes()
    return content, *full_sound(content)


def write_wav(samples: npt.NDArray[np.int16], rate_hz: int) -> bytes:
    """samples: int16[s c]."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((samples.shape[1], 2, rate_hz, 0, "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def encode(samples: npt.NDArray[np.float32], rate_hz: int, codec: str, container: str) -> bytes:
    """Mono sound by a real codec in a real container."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        # Noise that a decoder makes up itself depends on where it starts.
        options = {"aac_pns": "0"} if codec == "aac" else {}
        stream = out.add_stream(codec, rate=rate_hz, layout="mono", options=options)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        fifo = av.AudioResampler(
            stream.format, "mono", rate_hz, frame_size=stream.frame_size or 1024
        )
        for piece in [*fifo.resample(frame), *fifo.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


@given(
    st.floats(-1.0, 3.0),
    st.floats(0.0, 2.0),
    st.sampled_from([8000, 11025, 44100]),
    st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_pcm_is_what_the_wave_module_reads(
    start_s: float, length_s: float, rate_hz: int, channels: int
) -> None:
    rng = np.random.default_rng(7)
    samples = rng.integers(-(2**15), 2**15, (2 * rate_hz, channels), dtype=np.int16)
    content = write_wav(samples, rate_hz)
    with wave.open(io.BytesIO(content)) as file:
        read = np.frombuffer(file.readframes(10**6), "<i2").reshape(-1, channels)
    first = units.sample_at(start_s, rate_hz)
    last = units.sample_at(start_s + length_s, rate_hz)
    expected = interval(read.mean(axis=1) / 2**15, 0, first, last)
    np.testing.assert_allclose(sound(content, start_s, start_s + length_s), expected, atol=1e-7)


@pytest.mark.media
@pytest.mark.parametrize("name", REAL_SOUNDS)
@FEW
@given(st.floats(-0.3, 1.0), st.floats(0.0, 1.5))
def test_intervals_are_cut_from_a_full_decode(
    media_root: Path, name: str, place: float, length_s: float
) -> None:
    content, samples, first, rate_hz = slow(media_root / name)
    start_s = place * len(samples) / rate_hz
    start, end = units.sample_at(start_s, rate_hz), units.sample_at(start_s + length_s, rate_hz)
    expected = np.clip(interval(samples, first, start, end), -1, 1)
    np.testing.assert_allclose(sound(content, start_s, start_s + length_s), expected, atol=2e-6)


@pytest.mark.media
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg command")
@pytest.mark.parametrize("rate_hz", [None, 16000])
@pytest.mark.parametrize(
    "name",
    [
        "av/film_friday.mp4",
        "odd/speech_stereo.opus",
        "odd/audio_only_8k_stereo.mp3",
        "speech/sentences/librispeech_3436-172162-0000.ogg",
        "speech/sentences/librispeech_2412-153948-0000.flac",
        "av/nasa_13013.mp4",
    ],
)
def test_the_ffmpeg_command_hears_the_same(
    media_root: Path, name: str, rate_hz: int | None
) -> None:
    content = (media_root / name).read_bytes()
    mean = "pan=mono|c0=0.5*c0+0.5*c1," if "libri" not in name else ""
    which = ["-map", "0:4"] if "nasa" in name else []
    resampling = ["-ar", str(rate_hz)] if rate_hz else []
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", media_root / name, *which, "-vn", "-af", f"{mean}asetpts=N/SR/TB",
         *resampling, "-f", "f32le", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    heard = np.frombuffer(raw, np.float32)
    rate = decode(content, at(audio_s=(0.0, 0.0)), Geometry(rate_hz=rate_hz)).rate_hz
    found = sound(content, 0.25, 0.95, rate_hz)
    start = units.sample_at(0.25, rate)
    expected = np.clip(heard[start : start + len(found)], -1, 1)
    assert np.abs(expected).max() > 0.01
    # Another build of FFmpeg: its decoders and its resampling filter round otherwise.
    assert np.abs(found - expected).max() < 2e-3


@pytest.mark.parametrize(
    ("source_hz", "wanted_hz"),
    [
        (44100, 16000),
        (48000, 16000),
        (16000, 44100),
        (8000, 16000),
        (22050, 16000),
        (44100, 48000),
        (11025, 8000),
    ],
)
def test_resampling_keeps_the_clock(source_hz: int, wanted_hz: int) -> None:
    """A tone of 440 Hz is 440 Hz after resampling, and sample k stays the instant k / rate."""
    instants = np.arange(4 * source_hz) / source_hz
    tone = 0.8 * np.sin(2 * math.pi * 440 * instants + 0.3)
    content = write_wav(np.round(tone * 2**15).astype(np.int16)[:, None], source_hz)
    for start_s, end_s in [(1.0, 1.5), (0.73217, 1.11931), (2.00003, 2.25)]:
        found = sound(content, start_s, end_s, wanted_hz)
        numbers = units.sample_at(start_s, wanted_hz) + np.arange(len(found))
        expected = 0.8 * np.sin(2 * math.pi * 440 * numbers / wanted_hz + 0.3)
        # A shift by one sample of 48 kHz would show as 0.05.
        assert np.abs(found - expected).max() < 1e-3


def test_adjoining_intervals_adjoin_after_resampling() -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(-20000, 20000, (3 * 44100, 1), dtype=np.int16)
    content = write_wav(noise, 44100)
    whole = sound(content, 0.5, 2.5, 16000)
    cuts_s = [0.5, 0.9001, 1.3, 1.30004, 2.5]
    pieces = [sound(content, a, b, 16000) for a, b in itertools.pairwise(cuts_s)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"),
    [
        ("aac", "mp4", 44100),
        ("pcm_s16le", "wav", 16000),
        ("flac", "flac", 48000),
        ("libopus", "matroska", 48000),
        ("libmp3lame", "mp3", 44100),
        ("libopus", "ogg", 48000),
        ("flac", "ogg", 16000),
        ("aac", "mpegts", 48000),
    ],
)
def test_far_intervals_are_those_of_a_full_decode(codec: str, container: str, rate_hz: int) -> None:
    """Twenty seconds: far enough for a seek where the container allows an exact one."""
    rng = np.random.default_rng(11)
    times_s = np.arange(20 * rate_hz) / rate_hz
    sweep = 0.5 * np.sin(2 * math.pi * (200 * times_s + 30 * times_s**2))
    noisy = (sweep + 0.02 * rng.standard_normal(len(sweep))).astype(np.float32)
    content = encode(noisy, rate_hz, codec, container)
    samples, first, _ = full_sound(content)
    for start_s in (0.0, 4.321, 11.0001, 19.5):
        start = units.sample_at(start_s, rate_hz)
        found = sound(content, start_s, start_s + 0.4)
        expected = np.clip(interval(samples, first, start, start + len(found)), -1, 1)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.media
@pytest.mark.parametrize(
    "name",
    [
        "sound/librosa/humpback_whale.ogg",
        "sound/mdn/guitar.mp3",
        "speech/sentences/librispeech_3436-172162-0000.ogg",
    ],
)
def test_wherever_a_seek_lands_in_real_files_the_sound_is_that_of_a_full_decode(
    media_root: Path, name: str
) -> None:
    content, samples, first, rate_hz = slow(media_root / name)
    for start_s in np.arange(3.5, len(samples) / rate_hz, 0.31).tolist():
        start = units.sample_at(start_s, rate_hz)
        found = sound(content, start_s, start_s + 0.05)
        expected = np.clip(interval(samples, first, start, start + len(found)), -1, 1)
        np.testing.assert_allclose(found, expected, atol=2e-6, err_msg=f"at {start_s} s")


def test_a_seek_that_lands_late_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(13)
    samples = rng.integers(-20000, 20000, (12 * 8000, 1), dtype=np.int16)
    content = write_wav(samples, 8000)
    seek = MediaFile.seek
    monkeypatch.setattr(
        MediaFile, "seek", lambda self, ticks, stream: seek(self, ticks + 2 * 8000, stream)
    )
    found = sound(content, 8.0, 8.5)
    np.testing.assert_allclose(found, samples[8 * 8000 : 8 * 8000 + 4000, 0] / 2**15)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("plain.mp4", TimingSpec()),
        ("plain.mkv", TimingSpec()),
        ("pcm.mov", TimingSpec(audio_codec="pcm_s16le", rate_hz=48000)),
        ("late_sound.mp4", TimingSpec(audio_start_s=Fraction(1, 4))),
        ("late_picture.mp4", TimingSpec(video_start_s=Fraction(1, 3))),
        ("variable.mp4", TimingSpec(durations=(1, 3, 2), num_frames=40, flash_frames=(6, 21))),
        ("ntsc.mov", TimingSpec(fps=Fraction(30000, 1001), rate_hz=44100)),
        (
            "late.mov",
            TimingSpec(
                video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2), audio_codec="pcm_s16le"
            ),
        ),
    ],
)
def test_flash_and_beep_agree(tmp_path: Path, name: str, spec: TimingSpec) -> None:
    truth = write_timing_clip(tmp_path / name, spec)
    content = (tmp_path / name).read_bytes()
    for flash_s, beep_s in zip(truth.flash_s, truth.beep_s, strict=True):
        flash, heard = float(flash_s - truth.start_s), float(beep_s - truth.start_s)
        frame_s = float(1 / spec.fps)
        clip = decode(
            content,
            at(flash - 0.5 * frame_s, flash + 0.5 * frame_s, audio_s=(heard - 0.02, heard + 0.1)),
            NATIVE,
        )
        assert clip.video is not None
        assert clip.audio is not None
        levels = clip.video[:, -1, -1].mean(axis=-1)
        assert levels[0] < 128 < levels[1], "the flash is not at its frame"
        found = clip.audio_start_s + _best_place(clip.audio, beep(spec.rate_hz)) / spec.rate_hz
        # Matroska keeps whole milliseconds.
        slack_s = 0.0005 if name.endswith(".mkv") else 0.0
        assert abs(found - heard) <= 1.01 / spec.rate_hz + slack_s


def _best_place(samples: Audio, wave_form: Audio) -> int:
    """Where a known sound fits best."""
    return int(np.argmax(np.correlate(samples, wave_form[: len(samples) // 2], mode="valid")))


def test_before_and_after_the_sound_there_is_silence() -> None:
    content = write_wav(np.full((8000, 1), 16384, np.int16), 8000)
    found = sound(content, -0.25, 1.25)
    assert found.tolist() == [0.0] * 2000 + [0.5] * 8000 + [0.0] * 2000
    assert not sound(content, 5.0, 6.0, 16000).any()
    assert not sound(content, 1e9, 1e9 + 1, 16000).any()
    assert sound(content, 1e300, 1e300).shape == (0,)


def test_channels_are_averaged_and_overshoot_is_clipped() -> None:
    stereo = np.tile(np.array([[16384, -8192]], np.int16), (800, 1))
    assert sound(write_wav(stereo, 8000), 0.0, 0.1) == pytest.approx(np.full(800, 0.125))
    loud = encode(np.full(16000, 1.7, np.float32), 8000, "pcm_f32le", "wav")
    assert sound(loud, 0.5, 1.0).max() == 1.0


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
@pytest.mark.parametrize(("codec", "container"), [("ac3", "spdif"), ("dca", "dts")])
def test_a_coded_stream_dressed_up_as_pcm_is_decoded(codec: str, container: str) -> None:
    tone = "-f lavfi -i sine=440:r=48000:d=3 -ac 2"
    command = f"ffmpeg -v error {tone} -c:a {codec} -strict -2 -b:a 640k -f {container} -"
    coded = subprocess.run(command.split(), capture_output=True, check=True).stdout
    dressed = write_wav(np.frombuffer(coded[: len(coded) // 4 * 4], "<i2").reshape(-1, 2), 48000)
    power = np.abs(np.fft.rfft(sound(dressed, 1.0, 2.0))) ** 2
    assert power[440] > 0.95 * power.sum()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_samples_that_are_no_sound_do_not_spread(value: float) -> None:
    samples = np.full(16000, 0.25, np.float32)
    samples[8000] = value
    found = sound(encode(samples, 8000, "pcm_f32le", "wav"), 0.5, 1.5, 16000)
    assert np.abs(found).max() <= 1.0
    assert found[:7000] == pytest.approx(np.full(7000, 0.25), abs=1e-3)


def test_sixteen_channels_apart_do_not_end_the_process() -> None:
    rng = np.random.default_rng(5)
    samples = rng.uniform(-0.1, 0.1, (8000, 16)).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("wavpack", rate=8000, layout="9.1.6")
        assert isinstance(stream, av.AudioStream)
        stream.format = av.AudioFormat("s32p")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="9.1.6")
        frame.sample_rate = 8000
        for piece in av.AudioResampler(stream.format, "9.1.6", 8000, 1024).resample(frame):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    found = sound(file.getvalue(), 0.0, 0.5)
    np.testing.assert_allclose(found, samples.mean(axis=1)[:4000], atol=1e-4)


def test_sound_of_a_silent_file_is_refused(tmp_path: Path) -> None:
    from .decode_truth import write_numbered

    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", num_frames=3).read_bytes()
    with pytest.raises(MediaError, match="no sound stream") as caught:
        decode(content, at(0.0, audio_s=(0.0, 0.1)), NATIVE)
    assert caught.value.stage == "audio"


def test_too_much_sound_is_refused_before_it_is_there() -> None:
    content = write_wav(np.zeros((800, 1), np.int16), 8000)
    limits = DecodeLimits(max_output_bytes=4 * 8000)
    decode(content, at(audio_s=(0.0, 1.0)), NATIVE, limits=limits)
    for end_s in (1.001, 1e12):
        with pytest.raises(MediaError) as caught:
            decode(content, at(audio_s=(0.0, end_s)), NATIVE, limits=limits)
        assert caught.value.stage == "limits"


def test_an_interval_that_ends_before_it_starts_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="ends before"):
        decode(b"", at(audio_s=(1.0, 0.5)), NATIVE)
