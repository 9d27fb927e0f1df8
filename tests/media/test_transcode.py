"""A file coded for training shows and sounds, at every instant, what its source does.

Truth: clips whose frames carry their numbers and whose sound is known to the sample; `decode` of
the source; plain decodes with PyAV that are given only some of the packets; real odd files.
"""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.media.frame_code import read_frame_number
from avrep.media.probe import probe
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.media.synth_write import write_wav
from avrep.media.train_coding import TrainCoding
from avrep.media.transcode import Transcoded, transcode
from avrep.types import ClipTimes, Geometry, MediaItem, VideoStream
from tests.media.decode_truth import full_video, item

AS_STORED = TrainCoding(short_side_px=None)
LSB = 2.0**-15

CLIPS = {
    "plain.mp4": TimingSpec(),
    "deep_b_frames.mp4": TimingSpec(num_b_frames=4, gop_frames=24),
    "variable_rate.mkv": TimingSpec(durations=(1, 3, 2), num_frames=40, flash_frames=(6, 21)),
    "late_start.mov": TimingSpec(
        video_start_s=Fraction(1, 2), audio_start_s=Fraction(1, 2), audio_codec="pcm_s16le"
    ),
    "late_picture.mp4": TimingSpec(video_start_s=Fraction(1, 3)),
    "late_sound.mov": TimingSpec(audio_start_s=Fraction(1, 3), rate_hz=48000),
    # The clock begins with the sound, between two ticks of the picture.
    "between_ticks.mov": TimingSpec(
        video_start_s=Fraction(1, 2),
        audio_start_s=Fraction(4411, 44100),
        rate_hz=44100,
        audio_codec="pcm_s16le",
    ),
    "ntsc.mov": TimingSpec(fps=Fraction(30000, 1001), rate_hz=44100),
    "turned.mp4": TimingSpec(rotation_deg=90),
    "turned_back.mov": TimingSpec(rotation_deg=270, audio_codec="pcm_s16le"),
    "on_its_head.mp4": TimingSpec(rotation_deg=180, num_b_frames=0),
}


def probed(content: bytes) -> MediaItem:
    return probe(content, item(content))


def coded(content: bytes, path: Path, coding: TrainCoding) -> tuple[Transcoded, bytes]:
    done = transcode(lambda: content, probed(content), path, coding)
    return done, path.read_bytes()


def all_of(item: MediaItem, num_times: int = 97) -> ClipTimes:
    times_s = np.random.default_rng(0).uniform(0, item.duration_s, num_times)
    return ClipTimes(
        frames_s=times_s if item.video else np.zeros(0),
        audio_s=(0.0, item.duration_s) if item.audio else None,
    )


@pytest.mark.parametrize("name", CLIPS)
def test_every_instant_shows_the_same_frame_and_sounds_the_same(name: str, tmp_path: Path) -> None:
    write_timing_clip(tmp_path / name, CLIPS[name])
    source = (tmp_path / name).read_bytes()
    done, packed = coded(source, tmp_path / "packed", AS_STORED)
    before = probed(source)
    wanted = all_of(before)
    was = decode(source, wanted, Geometry(rate_hz=16000))
    now = decode(packed, wanted, Geometry(rate_hz=16000))
    assert was.video is not None
    assert now.video is not None
    assert was.audio is not None
    assert now.audio is not None
    numbers = [read_frame_number(frame) for frame in was.video]
    assert None not in numbers
    assert [read_frame_number(frame) for frame in now.video] == numbers
    np.testing.assert_allclose(now.pts_s, was.pts_s, atol=1e-9)
    assert np.abs(now.audio - was.audio).max() <= LSB
    # White flashes stay white: the range of the levels is right, on their frames only.
    flashes = [frame[40:].mean() > 240 for frame in was.video]
    assert any(flashes)
    assert [frame[40:].mean() > 240 for frame in now.video] == flashes

    row = done.item
    assert row.video is not None
    assert before.video is not None
    assert (row.video.width_px, row.video.height_px) == (128, 96)
    assert row.video.rotation_deg == 0
    assert row.video.num_frames == before.video.num_frames
    assert row.video.fps == pytest.approx(before.video.fps)
    assert row.video.start_s == pytest.approx(before.video.start_s, abs=1e-9)
    assert row.duration_s == before.duration_s
    assert row.length_bytes == len(packed)
    assert row.audio is not None
    assert before.audio is not None
    assert (row.audio.codec, row.audio.rate_hz, row.audio.channels) == ("flac", 16000, 1)
    assert row.audio.start_s == before.audio.start_s
    assert (done.num_bad_packets, done.num_lost_frames) == (0, 0)


@pytest.mark.parametrize(("num_b_frames", "gop_frames"), [(3, 16), (1, 8), (0, 5)])
def test_b_frames_are_needed_by_nobody_and_groups_by_no_other(
    num_b_frames: int, gop_frames: int, tmp_path: Path
) -> None:
    write_timing_clip(tmp_path / "a.mp4", TimingSpec())
    coding = TrainCoding(short_side_px=None, num_b_frames=num_b_frames, gop_frames=gop_frames)
    _, packed = coded((tmp_path / "a.mp4").read_bytes(), tmp_path / "packed", coding)
    whole = {f.pts: f.to_ndarray() for f in full_video(packed).frames}
    with av.open(io.BytesIO(packed), mode="r") as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        order = {pts: n for n, pts in enumerate(sorted(p.pts or 0 for p in packets))}
        keys = [order[p.pts or 0] for p in packets if p.is_keyframe]
        assert keys == list(range(0, 72, gop_frames))
        wanted = [p for p in packets if not is_unreferenced(bytes(p))]
        anchors = {order[p.pts or 0] for p in wanted}
        per_group = {*range(0, gop_frames, num_b_frames + 1), gop_frames - 1}
        assert anchors == {n for n in range(72) if n % gop_frames in per_group or n == 71}
        # Anchors alone, then one group alone, each from a decoder that has seen nothing else.
        assert_decodes_alike(wanted, whole)
        second = [p for p in packets if gop_frames <= order[p.pts or 0] < 2 * gop_frames]
        assert len(second) == gop_frames
        assert_decodes_alike(second, whole)


def is_unreferenced(packet: bytes) -> bool:
    """Whether every slice of a length-prefixed H.264 packet says that nothing refers to it."""
    place, refs = 0, []
    while place < len(packet):
        size = int.from_bytes(packet[place : place + 4], "big")
        head = packet[place + 4]
        if head & 31 in (1, 5):
            refs.append(head >> 5 & 3)
        place += 4 + size
    return not any(refs)


def assert_decodes_alike(packets: list[av.Packet], whole: dict[int | None, np.ndarray]) -> None:
    stream = packets[0].stream
    assert isinstance(stream, av.VideoStream)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = stream.codec_context.extradata
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [f for p in packets for f in decoder.decode(p)] + decoder.decode(None)
    assert len(frames) == len(packets)
    for frame in frames:
        np.testing.assert_array_equal(frame.to_ndarray(), whole[frame.pts])


def numbered_clip(path: Path, width_px: int, height_px: int, color_range: int = 1) -> bytes:
    """A still picture of eight plain colours for half a second, full or limited range."""
    colours = np.array(
        [[0, 0, 0], [255, 255, 255], [200, 30, 30], [30, 200, 30], [30, 30, 200], [90, 90, 90]],
        np.uint8,
    )
    picture = np.repeat(colours[None], height_px, axis=0).repeat(-(-width_px // 6), axis=1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, :width_px]), format="rgb24")
    stored = frame.reformat(format="yuv444p", dst_color_range=color_range)
    with av.open(path, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "1", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv444p"
        stream.codec_context.color_range = color_range
        for number in range(10):
            stored.pts = number
            container.mux(stream.encode(stored))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(
    ("size_px", "short_side_px", "expected_px"),
    [
        ((341, 256), 128, (170, 128)),
        ((256, 341), 128, (128, 170)),
        ((121, 81), 128, (120, 80)),
        ((120, 64), 64, (120, 64)),
        ((201, 99), None, (200, 98)),
    ],
)
def test_sizes_are_even_and_never_larger_and_colours_stay(
    size_px: tuple[int, int],
    short_side_px: int | None,
    expected_px: tuple[int, int],
    color_range: int,
    tmp_path: Path,
) -> None:
    source = numbered_clip(tmp_path / "a.mkv", *size_px, color_range=color_range)
    coding = TrainCoding(short_side_px=short_side_px, crf=4)
    done, packed = coded(source, tmp_path / "packed", coding)
    assert done.item.video is not None
    assert (done.item.video.width_px, done.item.video.height_px) == expected_px
    one = ClipTimes(frames_s=np.array([0.2]))
    was, now = decode(source, one, Geometry()).video, decode(packed, one, Geometry()).video
    assert was is not None
    assert now is not None
    for number in range(6):
        place = (number + 0.5) / 6
        old = was[0, size_px[1] // 2, int(place * size_px[0])].astype(int)
        new = now[0, expected_px[1] // 2, int(place * expected_px[0])].astype(int)
        assert np.abs(old - new).max() <= 6


def test_sound_alone_becomes_flac(tmp_path: Path) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, 35_000).astype(np.float32)
    sound[:3] = 1.0, -1.0, 0.0
    write_wav(tmp_path / "a.wav", sound, rate_hz=22_050)
    source = (tmp_path / "a.wav").read_bytes()
    done, packed = coded(source, tmp_path / "packed", TrainCoding(audio_hz=22_050))
    assert done.suffix == ".flac"
    assert packed[:4] == b"fLaC"
    times = ClipTimes(frames_s=np.zeros(0), audio_s=(0.0, 2.0))
    was, now = (decode(content, times, Geometry()).audio for content in (source, packed))
    assert was is not None
    np.testing.assert_array_equal(now, was)
    with pytest.raises(MediaError, match="sound only"):
        coded(source, tmp_path / "none", TrainCoding(audio_hz=None))


def test_a_long_sound_has_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 0.3 s, at rates whose samples rarely coincide, give what one piece gives."""
    sound = np.random.default_rng(2).normal(0, 0.2, 100_000).clip(-1, 1).astype(np.float32)
    write_wav(tmp_path / "a.wav", sound, rate_hz=44_100)
    source = (tmp_path / "a.wav").read_bytes()
    monkeypatch.setattr("avrep.media.transcode._SOUND_CHUNK_S", 0.3)
    _, packed = coded(source, tmp_path / "packed", TrainCoding())
    times = ClipTimes(frames_s=np.zeros(0), audio_s=(0.0, probed(source).duration_s))
    was, now = (decode(c, times, Geometry(rate_hz=16000)).audio for c in (source, packed))
    assert was is not None
    assert now is not None
    assert np.abs(now - was).max() <= LSB


def test_without_the_sound_the_clock_stays(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "a.mp4", TimingSpec(video_start_s=Fraction(1, 3)))
    source = (tmp_path / "a.mp4").read_bytes()
    done, packed = coded(source, tmp_path / "packed", TrainCoding(audio_hz=None))
    assert done.item.audio is None
    wanted = ClipTimes(frames_s=np.arange(0.0, 3.3, 0.01))
    was, now = (decode(content, wanted, Geometry()).video for content in (source, packed))
    assert was is not None
    assert now is not None
    numbers = [read_frame_number(frame) for frame in was]
    assert [read_frame_number(frame) for frame in now] == numbers
    assert numbers[0] == numbers[32] == 0
    assert numbers[35] == 0 != numbers[40]


DIGESTS = """
import hashlib, sys
from pathlib import Path
from tests.media.test_transcode import AS_STORED, coded
for name in sys.argv[2:]:
    folder = Path(sys.argv[1])
    print(name, hashlib.sha256(coded((folder / name).read_bytes(), folder / "p", AS_STORED)[1]).hexdigest())
"""


def test_bytes_depend_on_the_source_alone(tmp_path: Path) -> None:
    """Not on the process, nor on what it has coded before."""
    names = ["plain.mp4", "variable_rate.mkv", "turned.mp4"]
    for name in names:
        write_timing_clip(tmp_path / name, CLIPS[name])
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS, str(tmp_path), *order],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.splitlines()
        for order in (names, [*names[::-1], *names])
    ]
    assert len(set(runs[0])) == 3
    assert set(runs[1]) == set(runs[0])


def test_damage_is_counted_and_costs_what_it_covers(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "a.mkv", TimingSpec(num_b_frames=0, gop_frames=4))
    source = bytearray((tmp_path / "a.mkv").read_bytes())
    at = len(source) // 2
    source[at : at + 1500] = bytes(1500)
    done, packed = coded(bytes(source), tmp_path / "packed", AS_STORED)
    assert done.num_bad_packets > 0
    assert done.item.video is not None
    was = decode(bytes(source), all_of(done.item), Geometry())
    now = decode(packed, all_of(done.item), Geometry())
    np.testing.assert_allclose(now.pts_s, was.pts_s, atol=1e-9)


@pytest.mark.parametrize("num_good_bytes", [0, 40])
def test_what_cannot_be_decoded_is_refused(num_good_bytes: int, tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "a.mp4", TimingSpec())
    good = (tmp_path / "a.mp4").read_bytes()
    bad = good[:num_good_bytes] + bytes(len(good) - num_good_bytes)
    with pytest.raises(MediaError) as caught:
        transcode(lambda: bad, probed(good), tmp_path / "packed", TrainCoding())
    assert caught.value.stage == "open"


def test_a_full_disk_is_not_blamed_on_the_item(tmp_path: Path) -> None:
    write_timing_clip(tmp_path / "a.mp4", TimingSpec())
    source = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(OSError, match="No space left"):
        transcode(lambda: source, probed(source), Path("/dev/full"), TrainCoding())


def test_groups_hold_whole_patterns() -> None:
    with pytest.raises(ValueError, match="multiple of num_b_frames"):
        TrainCoding(gop_frames=16, num_b_frames=2)
    with pytest.raises(ValueError, match="multiple of 2"):
        TrainCoding(short_side_px=127)


@pytest.mark.slow
@pytest.mark.media
@pytest.mark.parametrize("folder", ["odd", "av/grid", "av"])
def test_real_files_keep_frames_times_and_sound(
    folder: str, media_root: Path, tmp_path: Path
) -> None:
    num_tried = 0
    for path in sorted((media_root / folder).iterdir()):
        if not path.is_file() or path.stat().st_size > 2**20 or path.suffix == ".csv":
            continue
        source = path.read_bytes()
        try:
            before = probed(source)
        except MediaError:
            continue
        done, packed = coded(source, tmp_path / "packed", TrainCoding())
        wanted = all_of(before, 25)
        was, now = (decode(c, wanted, Geometry(rate_hz=16000)) for c in (source, packed))
        np.testing.assert_allclose(now.pts_s, was.pts_s, atol=1e-9, err_msg=path.name)
        if was.audio is not None:
            assert now.audio is not None
            assert np.abs(now.audio - was.audio).max() <= LSB, path.name
        if isinstance(before.video, VideoStream):
            assert done.item.video is not None
            lost = done.num_lost_frames
            assert done.item.video.num_frames == before.video.num_frames - lost, path.name
            assert lost == 0 or path.stem in ("corrupted", "truncated_60pct"), path.name
        num_tried += 1
    assert num_tried >= 1
