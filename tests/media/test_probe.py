"""Proves that `probe` tells what is really in a file: against full decodes, a written table, lies."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import MediaError
from avrep.media.limits import DecodeLimits
from avrep.media.probe import probe
from avrep.media.synth_timing import TimingSpec, write_timing_clip

from .decode_truth import full_sound, full_video, item, write_numbered

# name: (width, height, frames, rotation) or None, (rate, channels) or None, seconds; looked at and
# worked out by hand from ffprobe and the notes that come with the files.
ODD = {
    "audio_only_8k_stereo.mp3": (None, (8000, 2), 13.056),
    "bbb_surround_6ch.mp4": ((320, 240, 132, 0), (48000, 6), 5.312),
    "corrupted.mp4": ((1280, 720, 50, 0), None, 5.0),
    "discard_first_keyframe.mp4": ((64, 64, 25, 0), None, 1.0),
    "flower_h264.mp4": ((960, 540, 150, 0), (48000, 2), 5.056),
    "flower_h264_fragmented.mp4": ((960, 540, 150, 0), (48000, 2), 5.123),
    "flower_vp8.webm": ((960, 540, 150, 0), (44100, 2), 5.078),
    "mp3_with_cover_art.mp3": (None, (44100, 2), 1.007),
    "nasa_hevc_10bit_hdr.mp4": ((320, 180, 325, 0), None, 13.0),
    "nasa_rotated_metadata.mp4": ((270, 480, 17, 270), None, 0.567),
    "no_duration_vfr_vp9_opus.webm": ((1280, 720, 74, 0), (48000, 2), 4.938),
    "non_zero_start.mp4": ((200, 112, 12, 0), None, 0.4),
    "pattern_av1.mkv": ((640, 360, 125, 0), None, 5.0),
    "pattern_h264_10bit.mp4": ((200, 200, 30, 0), None, 1.0),
    "pattern_hevc.mp4": ((128, 128, 10, 0), None, 1.0),
    "pattern_hevc_10bit.mp4": ((200, 200, 30, 0), None, 1.0),
    "pattern_mpeg1_mp2.mpg": ((128, 128, 100, 0), (44100, 2), 4.023),
    "pattern_odd_size_121x81_mpeg2.mp4": ((121, 81, 10, 0), None, 0.4),
    "pattern_odd_size_321x241_h264_444.mp4": ((321, 241, 25, 0), None, 1.0),
    "pattern_one_frame_mpeg4.mp4": ((64, 64, 1, 0), None, 0.04),
    "pattern_vp8.webm": ((1280, 720, 30, 0), None, 1.0),
    "pattern_vp9.webm": ((1280, 720, 30, 0), None, 1.0),
    "rir_8ch_0.1s.wav": (None, (16000, 8), 0.1),
    "rotate_180.mov": ((568, 320, 3, 180), None, 0.1),
    "rotate_270.mov": ((320, 568, 3, 270), None, 0.1),
    "rotate_90.mov": ((320, 568, 3, 90), None, 0.1),
    "rotate_none.mov": ((568, 320, 3, 0), None, 0.1),
    "speech_8k_mono.wav": (None, (8000, 1), 0.5),
    "speech_8k_stereo.sph": (None, (8000, 2), 1.0),
    "speech_8k_stereo.wav": (None, (8000, 2), 1.0),
    "speech_stereo.opus": (None, (48000, 2), 1.005),
    "tone_16ch_s16.wav": (None, (16000, 16), 1.0),
    "tone_f32_16k.wav": (None, (16000, 1), 4.0),
    "tone_s24_16k.wav": (None, (16000, 1), 4.0),
    "tone_s32_8k.wav": (None, (8000, 1), 4.0),
    "tone_u8_16k.wav": (None, (16000, 1), 4.0),
    # The first 60 % of six seconds: the header still promises all of them.
    "truncated_60pct.mp4": ((640, 480, 117, 0), (44100, 2), 3.967),
    "truncated_60pct.mpg": ((360, 288, 47, 0), (44100, 2), 1.88),
    "unordered_pts_50x50.mov": ((50, 50, 4, 0), None, 0.125),
    "video_with_failing_audio.mp4": ((640, 360, 280, 0), (44100, 2), 11.234),
}
HEADS = [
    b"",
    b"RIFF\0\0\1\0WAVEfmt ",
    b"\x1aE\xdf\xa3",
    b"\0\0\0\x18ftypmp42",
    b"\0\0\1\xba",
    b"OggS\0\2",
    b"ID3\4",
    b"G@\0\x10",
]
"""How files of eight formats begin."""
REJECTED = {"empty_0_bytes.mp4": "open"}
DAMAGED = {"corrupted.mp4", "truncated_60pct.mp4", "truncated_60pct.mpg"}


@pytest.mark.media
def test_the_table_names_every_odd_file(media_root: Path) -> None:
    assert {path.name for path in (media_root / "odd").iterdir()} == ODD.keys() | REJECTED.keys()


@pytest.mark.media
@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_has_the_streams_of_the_table(media_root: Path, name: str) -> None:
    found = probe((media_root / "odd" / name).read_bytes(), item(b""))
    video, audio, duration_s = ODD[name]
    v, a = found.video, found.audio
    assert (v and (v.width_px, v.height_px, v.num_frames, v.rotation_deg)) == video
    assert (a and (a.rate_hz, a.channels)) == audio
    assert found.duration_s == pytest.approx(duration_s, abs=1e-3)


@pytest.mark.media
@pytest.mark.parametrize("name", REJECTED)
def test_a_hopeless_file_is_rejected_with_a_reason(media_root: Path, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        probe((media_root / "odd" / name).read_bytes(), item(b""))
    assert caught.value.stage == REJECTED[name]
    assert caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.media
@pytest.mark.parametrize("name", sorted(n for n, (v, *_) in ODD.items() if v and n not in DAMAGED))
def test_frames_and_times_are_those_of_a_full_decode(media_root: Path, name: str) -> None:
    content = (media_root / "odd" / name).read_bytes()
    found = probe(content, item(content)).video
    slow = full_video(content)
    assert found is not None
    assert found.num_frames == len(slow.frames)
    assert found.start_s == pytest.approx(slow.pts_s[0], abs=1e-9)
    keys_s = [t for t, f in zip(slow.pts_s, slow.frames, strict=True) if f.key_frame]
    assert np.isin(np.round(keys_s, 6), np.round(found.keyframes_s, 6)).all()
    shown_s = len(slow.frames) / found.fps
    gap_s = shown_s - (slow.pts_s[-1] - slow.pts_s[0])
    assert 0 < gap_s < 0.101, "the mean rate does not span first to last frame"


@pytest.mark.media
@pytest.mark.parametrize(
    "name", ["audio_only_8k_stereo.mp3", "speech_stereo.opus", "mp3_with_cover_art.mp3"]
)
def test_the_length_of_sound_leaves_out_the_codecs_padding(media_root: Path, name: str) -> None:
    content = (media_root / "odd" / name).read_bytes()
    samples, first, rate_hz = full_sound(content)
    found = probe(content, item(content))
    assert found.duration_s * rate_hz == pytest.approx(first + len(samples), abs=1)


@pytest.mark.media
def test_the_best_of_several_streams_is_chosen(media_root: Path) -> None:
    found = probe((media_root / "av" / "nasa_13013.mp4").read_bytes(), item(b""))
    assert found.video is not None
    assert found.audio is not None
    assert (found.video.width_px, found.video.height_px, found.audio.rate_hz) == (480, 270, 16000)


def test_variable_rate_and_late_start_are_told_as_they_were_written(tmp_path: Path) -> None:
    spec = TimingSpec(durations=(1, 3, 2), video_start_s=TimingSpec().fps ** -1 * 12)
    truth = write_timing_clip(tmp_path / "clip.mp4", spec)
    found = probe((tmp_path / "clip.mp4").read_bytes(), item(b""))
    assert found.video is not None
    assert found.audio is not None
    assert found.video.num_frames == spec.num_frames
    assert found.video.start_s == pytest.approx(float(truth.frame_times_s[0] - truth.start_s))
    shown_s = float(truth.end_s - truth.frame_times_s[0])
    assert found.video.fps == pytest.approx(spec.num_frames / shown_s, rel=1e-3)


def test_known_facts_of_the_item_are_kept(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4").read_bytes()
    known = item(content)
    found = probe(io.BytesIO(content), known)
    assert (found.key, found.shard, found.length_bytes) == ("k", "k", len(content))
    assert found.video is not None
    assert found.video.codec == "h264"
    assert found.video.keyframes_s.tolist() == pytest.approx([0.0, 0.48, 0.96, 1.44])


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (DecodeLimits(max_pixels=128 * 96 - 1), "pixel"),
        (DecodeLimits(max_duration_s=1.5), "s, over"),
        (DecodeLimits(max_packets=39), "packets"),
    ],
)
def test_what_is_over_a_limit_is_refused(tmp_path: Path, limits: DecodeLimits, reason: str) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4").read_bytes()
    probe(content, item(content), DecodeLimits(max_pixels=128 * 96, max_packets=40))
    with pytest.raises(MediaError, match=reason) as caught:
        probe(content, item(content), limits)
    assert caught.value.stage == "limits"


@pytest.mark.media
def test_too_many_streams_are_refused(media_root: Path) -> None:
    content = (media_root / "av" / "nasa_13013.mp4").read_bytes()
    with pytest.raises(MediaError):
        probe(content, item(content), DecodeLimits(max_streams=4))


def test_a_playlist_cannot_read_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_numbered(tmp_path / "secret.ts", "libx264", "mpegts")
    monkeypatch.chdir(tmp_path)
    playlist = b"ffconcat version 1.0\nfile secret.ts\n"
    # The hole is real: plain PyAV follows the list.
    with av.open(io.BytesIO(playlist), mode="r") as container:
        assert container.streams.video
    with pytest.raises(MediaError) as caught:
        probe(playlist, item(playlist))
    assert caught.value.stage == "open"


def test_a_header_that_lies_about_its_size_is_refused_or_told_rightly(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4").read_bytes()
    size = struct.pack(">HH", 128, 96)
    place = content.index(size, content.index(b"avc1"))
    lie = content[:place] + struct.pack(">HH", 65000, 65000) + content[place + 4 :]
    found = _facts_or_stage(lie)
    assert found in {"limits", "video", "open"} or found == (128, 96)


def test_the_storages_own_error_is_not_taken_for_damage() -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError(f"the line was cut {size} bytes short")

    with pytest.raises(ConnectionResetError):
        probe(Torn(b"x" * 4096), item(b""))


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=600),
    st.sampled_from(
        [
            b"",
            b"RIFF\0\0\1\0WAVEfmt ",
            b"\x1aE\xdf\xa3",
            b"\0\0\0\x18ftypmp42",
            b"\0\0\1\xba",
            b"OggS\0\2",
            b"ID3\4",
            b"G@\0\x10",
        ]
    ),
)
def test_garbage_is_rejected_and_never_raises_anything_else(tail: bytes, head: bytes) -> None:
    content = head + tail
    found = _facts_or_stage(content)
    assert found is None or len(found) == 2 or found in {"open", "video", "audio", "limits"}


def _facts_or_stage(content: bytes) -> tuple[int, int] | str | None:
    try:
        video = probe(content, item(content)).video
    except MediaError as error:
        return error.stage
    return (video.width_px, video.height_px) if video else None


def test_reasons_carry_no_log_lines() -> None:
    with pytest.raises(MediaError) as caught:
        probe(b"not media at all", item(b""))
    assert str(caught.value) == "open: Invalid data found when processing input"
    assert not isinstance(caught.value, FFmpegError)
