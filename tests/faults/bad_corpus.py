"""A corpus with a tenth of bad items: good synthetic videos, listed, then damaged one way each."""

import io
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import numpy as np

from avrep.media.catalog import Catalog, write_catalog
from avrep.types import MediaItem, VideoStream

Fate = Literal["fails", "salvaged", "hangs"]

_NUM_AGES = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One way in which a file is bad, and what is to come of it."""

    name: str
    spoil: Callable[[bytes], bytes | None]
    """None: the file is a named pipe that nobody writes to."""
    fate: Fate = "fails"
    stage: str = ""
    """Of the failure that is to be reported."""
    is_listed_so: bool = False
    """The catalogue gives the damaged file's length; otherwise the damage came after indexing."""


def flipped_bits(content: bytes) -> bytes:
    """One bit in each of a hundred places of the frames."""
    start, end = _box(content, b"mdat")
    rng = np.random.default_rng(5)
    damaged = bytearray(content)
    for place in rng.integers(start + (end - start) // 3, end, 100).tolist():
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def hole_of_zeros(content: bytes) -> bytes:
    """A tenth of the frames is zeros, as a lost block of a disk is."""
    start, end = _box(content, b"mdat")
    first, length = start + (end - start) // 2, (end - start) // 10
    return content[:first] + bytes(length) + content[first + length :]


def header_without_frames(content: bytes) -> bytes:
    start, end = _box(content, b"mdat")
    return content[:start] + struct.pack(">I4s", 8, b"mdat") + content[end:]


def matroska(content: bytes) -> bytes:
    """The same streams in the container that has its header first."""
    sink = io.BytesIO()
    with (
        av.open(io.BytesIO(content), "r") as read,
        av.open(sink, "w", format="matroska") as container,
    ):
        streams = {s.index: container.add_stream_from_template(s) for s in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    return sink.getvalue()


def header_first_and_cut(content: bytes) -> bytes:
    whole = matroska(content)
    return whole[: 2 * len(whole) // 3]


def lasting_a_year(content: bytes) -> bytes:
    whole = matroska(content)
    here = whole.index(b"\x44\x89\x88") + 3
    return whole[:here] + struct.pack(">d", 365 * 86400e3) + whole[here + 8 :]


def header_lasting_a_year(content: bytes) -> bytes:
    """Movie, tracks and media say so; the frames' own times do not."""
    for name, place in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = content.find(name)
        while at >= 0:
            here = at + place
            content = content[:here] + struct.pack(">I", 2**31 - 1) + content[here + 4 :]
            at = content.find(name, at + 4)
    return content


def huge_by_its_header(_: bytes) -> bytes:
    """Raw pictures of which the container says that they are 65,500 pixels wide and high."""
    content = _grey("rawvideo", "bgr24")
    here = content.index(b"strf") + 12
    return content[:here] + struct.pack("<ii", 65500, 65500) + content[here + 8 :]


def huge_by_its_frames(_: bytes) -> bytes:
    """A Motion JPEG whose every frame says so."""
    content = _grey("mjpeg", "yuvj420p")
    at = content.find(b"\xff\xc0")
    while at >= 0:
        content = content[: at + 5] + struct.pack(">HH", 65500, 65500) + content[at + 9 :]
        at = content.find(b"\xff\xc0", at + 2)
    return content


def ages_to_decode(_: bytes) -> bytes:
    """One group of thousands of large frames, each of which needs the one before: no damage.

    It is a first frame and then, again and again, the packet that says that nothing changed.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=24)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 4096, 2160, "yuv420p"
        stream.codec_context.gop_size = 600
        frame = av.VideoFrame(4096, 2160, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        packets: list[av.Packet] = []
        for number in range(3):
            frame.pts = number
            packets += stream.encode(frame)
        packets += stream.encode(None)
        tick = (packets[-1].pts or 0) // 2
        container.mux(packets[0])
        for number in range(1, _NUM_AGES):
            again = av.Packet(bytes(packets[-1]))
            again.stream, again.time_base = stream, packets[-1].time_base
            again.pts = again.dts = number * tick
            container.mux(again)
    return sink.getvalue()


DAMAGES = (
    Damage(name="emptied after indexing", spoil=lambda _: b"", stage="read"),
    Damage(name="zero bytes", spoil=lambda _: b"", stage="open", is_listed_so=True),
    Damage(name="garbage", spoil=lambda c: np.random.default_rng(3).bytes(len(c)), stage="open"),
    Damage(name="truncated", spoil=lambda c: c[: len(c) // 2], stage="open", is_listed_so=True),
    Damage(
        name="truncated, header first",
        spoil=header_first_and_cut,
        fate="salvaged",
        is_listed_so=True,
    ),
    Damage(name="bit flips", spoil=flipped_bits, fate="salvaged"),
    Damage(name="a hole of zeros", spoil=hole_of_zeros, fate="salvaged"),
    Damage(
        name="header without frames", spoil=header_without_frames, stage="video", is_listed_so=True
    ),
    Damage(
        name="absurd resolution in the header",
        spoil=huge_by_its_header,
        stage="video",
        is_listed_so=True,
    ),
    Damage(
        name="absurd resolution in the frames",
        spoil=huge_by_its_frames,
        stage="video",
        is_listed_so=True,
    ),
    Damage(name="absurd duration in the header", spoil=header_lasting_a_year, fate="salvaged"),
    Damage(
        name="absurd duration in the only header",
        spoil=lasting_a_year,
        stage="limits",
        is_listed_so=True,
    ),
)
HANGS = (
    Damage(name="storage that never answers", spoil=lambda _: None, fate="hangs", stage="read"),
    Damage(
        name="decoding that takes an hour",
        spoil=ages_to_decode,
        fate="hangs",
        stage="deadline",
        is_listed_so=True,
    ),
)


def write_bad_corpus(out: Path, good: Catalog, damages: Sequence[Damage]) -> Catalog:
    """Nine good items for each bad one, in mixed order; bad ones have the damage's name as key."""
    out.mkdir()
    rng = np.random.default_rng(0)
    whole = [item for item in good if item.video is not None]
    items: list[MediaItem] = []
    for number in range(9 * len(damages)):
        item = whole[number % len(whole)]
        name = f"{number:05d}.mp4"
        os.link(Path(good.root) / item.shard, out / name)
        items.append(replace(item, key=name, shard=name, crc32=None))
    for number, damage in enumerate(damages):
        item = whole[number % len(whole)]
        content = damage.spoil((Path(good.root) / item.shard).read_bytes())
        name = f"bad-{number:02d}.mp4"
        if content is None:
            os.mkfifo(out / name)
        else:
            (out / name).write_bytes(content)
        length_bytes = len(content or b"") if damage.is_listed_so else item.length_bytes
        bad = replace(item, key=damage.name, shard=name, length_bytes=length_bytes, crc32=None)
        if damage.spoil is ages_to_decode:
            bad = _listed_as_ages(bad)
        items.append(bad)
    mixed = [items[place] for place in rng.permutation(len(items)).tolist()]
    write_catalog(out / "corpus.parquet", mixed, str(out))
    return Catalog.open(out / "corpus.parquet")


def _listed_as_ages(item: MediaItem) -> MediaItem:
    video = VideoStream(
        width_px=4096, height_px=2160, fps=24.0, num_frames=_NUM_AGES, codec="mpeg4"
    )
    return replace(item, duration_s=_NUM_AGES / 24.0, video=video, audio=None)


def _grey(codec: str, pixels: str) -> bytes:
    """A second of grey in an AVI."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="avi") as container:
        stream = container.add_stream(codec, rate=24)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(24):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode(None))
    return sink.getvalue()


def _box(content: bytes, name: bytes) -> tuple[int, int]:
    """Where a box of an MP4 begins and ends."""
    at = 0
    while at < len(content):
        length, found = struct.unpack_from(">I4s", content, at)
        if found == name:
            return at, at + length
        at += length
    raise AssertionError(f"no box {name!r}")
