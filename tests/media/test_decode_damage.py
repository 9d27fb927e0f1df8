"""Proves that damaged and hostile files give what is whole in them, or a `MediaError`; never more.

Damage is planted where it is known; every odd file is decoded; garbage comes by the hundred.
"""

import io
import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import MediaError
from avrep.media import bounded_reader
from avrep.media.decode import decode
from avrep.media.frame_code import read_frame_number
from avrep.media.limits import DecodeLimits
from avrep.media.probe import probe
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Audio, Clip, Geometry

from .decode_truth import at, full_sound, interval, item, write_numbered
from .test_probe import ODD, REJECTED

SMALL = Geometry(short_side_px=32)
# Looked at: a white square, a black one, a dark screen; and sound tracks without sound.
FLAT = {"unordered_pts_50x50.mov", "pattern_one_frame_mpeg4.mp4", "no_duration_vfr_vp9_opus.webm"}
SILENT = {"flower_h264.mp4", "flower_h264_fragmented.mp4", "flower_vp8.webm", "mp3_with_cover_art.mp3", "no_duration_vfr_vp9_opus.webm"}  # fmt: skip


@pytest.mark.media
@pytest.mark.parametrize("name", ODD)
def test_every_odd_file_gives_plausible_frames_and_samples(media_root: Path, name: str) -> None:
    content = (media_root / "odd" / name).read_bytes()
    known = probe(content, item(content))
    times_s = np.linspace(0, known.duration_s, 4) if known.video else np.zeros(0)
    wanted = at(*times_s, audio_s=(0.0, known.duration_s) if known.audio else None)
    clip = decode(content, wanted, SMALL)
    if known.video is not None:
        assert clip.video is not None
        assert (min(clip.video.shape[1:3]), len(clip.video)) == (32, 4)
        assert (clip.video.std() > 5) != (name in FLAT)
        assert np.all(np.diff(clip.pts_s) >= 0)
        assert np.all(clip.pts_s <= np.maximum(times_s, known.video.start_s) + 1e-6)
    if known.audio is not None:
        assert clip.audio is not None
        assert np.abs(clip.audio).max() <= 1.0
        assert (clip.audio.std() > 1e-3) != (name in SILENT)


@pytest.mark.media
@pytest.mark.parametrize("name", REJECTED)
def test_a_hopeless_file_is_rejected_with_a_reason(media_root: Path, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        decode((media_root / "odd" / name).read_bytes(), at(0.0), SMALL)
    assert caught.value.stage == REJECTED[name]


def spoil(content: bytes, first: float, last: float, every: int) -> bytes:
    """Overwrite a byte in `every`, from one fraction of the file's length to another."""
    damaged = bytearray(content)
    for place in range(int(first * len(content)), int(last * len(content)), every):
        damaged[place] ^= 0xFF
    return bytes(damaged)


def test_frames_around_damaged_packets_survive(tmp_path: Path) -> None:
    content = write_numbered(
        tmp_path / "n.mkv", "libx264", "matroska", num_frames=96, gop_frames=8
    ).read_bytes()
    damaged = spoil(content, 0.45, 0.55, every=5)
    times_s = (np.arange(96) + 0.5) / 25
    clip = decode(damaged, at(*times_s), Geometry())
    assert clip.num_bad_packets > 0
    assert clip.video is not None
    numbers = [read_frame_number(frame) for frame in clip.video]
    # A tenth of the file, and the rest of the groups of eight that it touches.
    assert numbers[:32] == list(range(32))
    assert numbers[64:] == list(range(64, 96))
    assert decode(content, at(*times_s), Geometry()).num_bad_packets == 0


def test_sound_around_damaged_packets_keeps_its_place(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "c.mp4", TimingSpec(rate_hz=48000, num_frames=96))
    content = (tmp_path / "c.mp4").read_bytes()
    whole, first, rate_hz = full_sound(content)
    damaged = spoil(content, 0.4, 0.5, every=7)
    clip = decode(damaged, at(audio_s=(0.0, 4.0)), Geometry())
    assert clip.audio is not None
    assert first == 0
    expected = whole[: len(clip.audio)]
    third = rate_hz
    np.testing.assert_allclose(clip.audio[:third], expected[:third], atol=1e-6)
    np.testing.assert_allclose(clip.audio[-third:], expected[-third:], atol=1e-3)


@pytest.mark.media
@pytest.mark.parametrize("name", ["odd/bbb_surround_6ch.mp4", "av/grid/bbaf2n.mpg", "odd/flower_vp8.webm", "odd/speech_stereo.opus"])  # fmt: skip
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.6, 0.97])
def test_a_cut_file_gives_its_beginning_or_is_rejected(
    media_root: Path, name: str, fraction: float
) -> None:
    content = (media_root / name).read_bytes()
    cut = content[: int(fraction * len(content))]
    known = _known(cut)
    if known is None:
        return
    assert 0 < known.duration_s <= _duration_s(content) + 1e-3
    clip = decode(cut, at(*([0.0, known.duration_s] if known.video else []), audio_s=(0, 0.2) if known.audio else None), SMALL)  # fmt: skip
    assert (clip.video is not None) == (known.video is not None)


def _known(content: bytes):
    try:
        return probe(content, item(content))
    except MediaError:
        return None


def _duration_s(content: bytes) -> float:
    return probe(content, item(content)).duration_s


def outcome(content: bytes) -> Clip | str:
    """A clip, or the stage of a `MediaError`; any other exception is the test's failure."""
    try:
        return decode(content, at(0.0, 0.7, 1e9, audio_s=(0.0, 0.4)), SMALL)
    except MediaError as error:
        return error.stage


@pytest.fixture(scope="module")
def whole_clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "c.mp4"
    write_timing_clip(path, TimingSpec(num_frames=30, flash_frames=(9,), gop_frames=6))
    return path.read_bytes()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_bytes_give_a_clip_or_a_media_error(
    whole_clip: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(whole_clip)
    places = data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=40))
    for place in places:
        damaged[place] = data.draw(st.integers(0, 255))
    result = outcome(bytes(damaged))
    assert isinstance(result, Clip) or result in {"open", "video", "audio", "limits"}


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_gives_a_media_error(content: bytes) -> None:
    assert outcome(content) in {"open", "video", "audio", "limits"}


def test_times_beyond_a_cut_off_end_give_the_last_frame_there_is(tmp_path: Path) -> None:
    content = write_numbered(
        tmp_path / "n.mkv", "libx264", "matroska", num_frames=96, gop_frames=8
    ).read_bytes()
    cut = content[: len(content) // 2]
    clip = decode(cut, at(0.02, 3.5, 100.0), Geometry())
    assert clip.video is not None
    first, late, later = (read_frame_number(frame) for frame in clip.video)
    assert first == 0
    assert late is not None
    assert 30 < late < 60
    assert late == later


def test_a_file_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.BytesIO):
        """Says that it is short, and has always more of the same."""

        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) or bytes(32768)

    monkeypatch.setattr(bounded_reader, "_ALLOWANCE_BYTES", 2**24)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(1000))
    # Both lengths say that there is no end.
    content = bytearray(file.getvalue())
    content[4:8] = content[40:44] = b"\xff" * 4
    with pytest.raises(MediaError, match="without an end") as caught:
        probe(Endless(bytes(content)), item(b""), DecodeLimits(max_duration_s=1e9))
    assert caught.value.stage == "limits"


@pytest.mark.media
def test_sound_after_a_lost_vorbis_packet_keeps_its_place(media_root: Path) -> None:
    """Vorbis stamps may be off by a block, so there a lost block shows only as an error."""
    source = media_root / "speech" / "sentences" / "librispeech_3436-172162-0000.ogg"
    whole, damaged = _in_matroska(source, None), _in_matroska(source, 200)
    samples, first, rate_hz = full_sound(whole)
    clip = decode(damaged, at(audio_s=(0.0, 10.0)), Geometry())
    assert clip.num_bad_packets == 1
    assert clip.audio is not None
    tail = interval(samples, first, 8 * rate_hz, 8 * rate_hz + 4000)
    assert _best_shift(clip.audio[8 * rate_hz :][:4000], tail) in range(-24, 25)


def _in_matroska(source: Path, spoilt_packet: int | None) -> bytes:
    """The same packets in another container, one of them made unreadable."""
    file = io.BytesIO()
    with av.open(source, mode="r") as inner, av.open(file, "w", format="matroska") as out:
        stream = out.add_stream_from_template(inner.streams.audio[0])
        for number, packet in enumerate(inner.demux(inner.streams.audio[0])):
            if packet.dts is None:
                continue
            copy = packet
            if number == spoilt_packet:
                copy = av.Packet(b"\xff" * packet.size)
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.time_base = packet.time_base
            copy.stream = stream
            out.mux(copy)
    return file.getvalue()


def _best_shift(found: Audio, expected: npt.NDArray[np.float64]) -> int:
    """By how many samples `found` lies behind `expected`, up to 1000."""
    centre = expected[1000:-1000]
    return int(np.argmax(np.correlate(found, centre, mode="valid"))) - 1000


def test_packets_are_bounded(whole_clip: bytes) -> None:
    with pytest.raises(MediaError, match="over 5 packets") as caught:
        decode(whole_clip, at(0.0, 0.3, 1.2), SMALL, limits=DecodeLimits(max_packets=5))
    assert caught.value.stage == "limits"


def test_large_frames_are_refused(whole_clip: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        decode(whole_clip, at(1.0), SMALL, limits=DecodeLimits(max_pixels=100))
    assert caught.value.stage == "limits"
