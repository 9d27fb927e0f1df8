"""Proves which packets are known to be needed by no other: against x264's and FFmpeg's own word.

Truths: what the encoder was told to make, the type of the decoded pictures, hand-made units, and an
independent reader of the same header (FFmpeg's, through its frames' interlacing).
"""

import io
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.media.disposable import disposable_test
from avrep.media.h264_sps import has_whole_frames_only, nal_length_size, split_units

from .decode_truth import write_numbered


def judged(content: bytes) -> list[tuple[int, bool]]:
    """Time stamp of each packet, and whether it is called disposable."""
    with av.open(io.BytesIO(content), mode="r") as container:
        stream = container.streams.video[0]
        test = disposable_test(stream)
        assert test is not None
        return [(p.pts or 0, test(p)) for p in container.demux(stream) if p.size]


def kinds(content: bytes) -> dict[int, str]:
    with av.open(io.BytesIO(content), mode="r") as container:
        return {f.pts or 0: PictureType(f.pict_type).name for f in container.decode(video=0)}


@pytest.mark.parametrize("container_format", ["mp4", "matroska", "mpegts", "flv"])
@pytest.mark.parametrize("num_b_frames", [0, 1, 3])
def test_without_a_pyramid_the_b_frames_are_disposable(
    tmp_path: Path, container_format: str, num_b_frames: int
) -> None:
    options = {"x264-params": f"b-pyramid=none:bframes={num_b_frames}:b-adapt=0"}
    content = write_numbered(tmp_path / "n", "libx264", container_format, options=options)
    found, kind = dict(judged(content.read_bytes())), kinds(content.read_bytes())
    assert found == {pts: kind[pts] == "B" for pts in found}
    assert any(found.values()) == (num_b_frames > 0)


def test_with_a_pyramid_its_middle_is_kept(tmp_path: Path) -> None:
    options = {"x264-params": "b-pyramid=normal:bframes=3:b-adapt=0:scenecut=0"}
    path = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", 41, 40, options=options)
    found, kind = judged(path.read_bytes()), kinds(path.read_bytes())
    assert all(kind[pts] == "B" for pts, is_spare in found if is_spare)
    spare = sorted(pts // 512 for pts, is_spare in found if is_spare)
    # I0 P4 B2 b1 b3 and so on: every odd frame, until the group's end leaves an odd number over.
    assert spare[:18] == list(range(1, 36, 2))


@pytest.mark.parametrize(
    "options", [{"x264-params": "fake-interlaced=1"}, {"flags": "+ilme+ildct"}]
)
def test_streams_that_may_have_fields_are_left_alone(
    tmp_path: Path, options: dict[str, str]
) -> None:
    path = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", options=options)
    with av.open(path) as container:
        assert disposable_test(container.streams.video[0]) is None


@pytest.mark.parametrize("profile", ["baseline", "main", "high", "high10", "high422", "high444"])
@pytest.mark.parametrize("matrix", ["flat", "jvt"])
def test_the_header_is_read_in_every_profile(tmp_path: Path, profile: str, matrix: str) -> None:
    formats = {"high10": "yuv420p10le", "high422": "yuv422p", "high444": "yuv444p"}
    for interlaced in (0, 1):
        if interlaced and profile == "baseline":
            continue
        parameters = (
            f"fake-interlaced={interlaced}:cqm={matrix if profile.startswith('high') else 'flat'}"
        )
        with av.open(tmp_path / "n.mp4", "w") as container:
            stream = container.add_stream(
                "libx264", rate=25, options={"profile": profile, "x264-params": parameters}
            )
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = formats.get(profile, "yuv420p")
            container.mux(stream.encode(av.VideoFrame(64, 48, stream.pix_fmt)))
            container.mux(stream.encode(None))
        with av.open(tmp_path / "n.mp4") as container:
            extradata = container.streams.video[0].codec_context.extradata
            assert has_whole_frames_only(extradata or b"") == (not interlaced)


@pytest.mark.media
def test_the_real_hevc_clip_loses_nothing_but_what_it_calls_disposable(media_root: Path) -> None:
    content = (media_root / "odd" / "nasa_hevc_10bit_hdr.mp4").read_bytes()
    assert sum(is_spare for _, is_spare in judged(content)) == 193


def test_a_header_on_the_way_ends_what_is_known(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.mp4", "libx264", "mp4").read_bytes()
    with av.open(io.BytesIO(content), mode="r") as container:
        stream = container.streams.video[0]
        test = disposable_test(stream)
        packets = [bytes(p) for p in container.demux(stream) if p.size]
    assert test is not None
    spare = next(p for p in packets if test(av.Packet(p)))
    other_header = bytes([0, 0, 0, 4, 0x67, 1, 2, 3])
    assert not test(av.Packet(other_header + packets[0]))
    assert not test(av.Packet(spare))


def unit(first: int, body: bytes = b"\xff") -> bytes:
    return (len(body) + 1).to_bytes(4) + bytes([first]) + body


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([0x01], True),
        ([0x41], False),
        ([0x01, 0x01], True),
        ([0x01, 0x21], False),
        ([0x06, 0x01], True),
        ([0x09, 0x06, 0x01, 0x0C], True),
        ([0x68, 0x01], False),
        ([0x06], False),
        ([], False),
    ],
)
def test_units_by_hand(tmp_path: Path, units: list[int], expected: bool) -> None:
    path = write_numbered(tmp_path / "n.mp4", "libx264", "mp4", num_frames=2)
    with av.open(path) as container:
        test = disposable_test(container.streams.video[0])
    assert test is not None
    assert test(av.Packet(b"".join(unit(first) for first in units) or b"\0")) == expected


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\0", b"\1")), max_size=6)
)
def test_both_ways_of_parting_units_give_them_back(units: list[bytes]) -> None:
    lengths = b"".join(len(u).to_bytes(4) + u for u in units)
    codes = b"".join(b"\0\0\0\1" + u for u in units)
    assert [bytes(u) for u in split_units(lengths, 4)] == units
    assert [bytes(u) for u in split_units(codes, None)] == units


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([None, 1, 2, 4]))
def test_no_packet_is_too_broken_to_be_looked_at(content: bytes, length_size: int | None) -> None:
    assert all(len(u) > 0 for u in split_units(content, length_size))
    assert has_whole_frames_only(content) in (True, False)
    assert nal_length_size(content) in (None, 1, 2, 3, 4)


def golomb(value: int) -> str:
    """An unsigned number, as table 9-1 of H.264 spells it."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def signed(value: int) -> str:
    return golomb(2 * value - 1 if value > 0 else -2 * value)


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A sequence parameter set of drawn fields, in the order of 7.3.2.1.1, and its flag."""
    small = st.integers(0, 40)
    profile = draw(st.sampled_from([66, 77, 88, 100, 110, 122, 244, 44]))
    bits = f"{profile:08b}" + "0" * 8 + "00011110" + golomb(draw(st.integers(0, 31)))
    if profile >= 100 or profile == 44:
        chroma = draw(st.integers(0, 3))
        bits += golomb(chroma) + ("0" if chroma == 3 else "") + golomb(draw(small)) * 2 + "0"
        has_matrix = draw(st.booleans())
        bits += str(int(has_matrix))
        for number in range((12 if chroma == 3 else 8) if has_matrix else 0):
            size = draw(st.sampled_from([0, 1, 16 if number < 6 else 64]))
            # A list that ends early repeats its last scale: the next one would be 0.
            ends_early = {0: "0", 1: "1" + signed(-8)}
            bits += ends_early.get(size) or "1" + "".join(signed(d % 3) for d in range(size))
    bits += golomb(draw(small))
    order = draw(st.integers(0, 2))
    bits += golomb(order)
    if order == 0:
        bits += golomb(draw(small))
    elif order == 1:
        offsets = draw(st.lists(st.integers(-9, 9), max_size=5))
        bits += "1" + signed(draw(st.integers(-9, 9))) * 2 + golomb(len(offsets))
        bits += "".join(signed(offset) for offset in offsets)
    bits += golomb(draw(small)) + "0" + golomb(draw(small)) * 2
    flag = draw(st.booleans())
    bits += f"{int(flag)}1" + "0" * 7
    body = int(bits, 2) << -len(bits) % 8
    raw = b"\x67" + body.to_bytes(-(-len(bits) // 8))
    # 7.4.1: a 3 keeps two zero bytes from looking like a start code.
    guarded = bytearray()
    for byte in raw:
        if byte <= 3 and guarded[-2:] == b"\0\0":
            guarded.append(3)
        guarded.append(byte)
    return bytes(guarded), flag


@settings(deadline=None, max_examples=300)
@given(headers())
def test_the_flag_is_found_behind_any_fields(header: tuple[bytes, bool]) -> None:
    content, flag = header
    record = b"\1\x64\0\x1e\xff\xe1" + len(content).to_bytes(2) + content + b"\0"
    assert has_whole_frames_only(record) == flag
    assert has_whole_frames_only(b"\0\0\0\1" + content + b"\x80") == flag
