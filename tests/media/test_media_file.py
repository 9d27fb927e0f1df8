"""Opening a file: what is spared on the way changes nothing of what is known of it afterwards.

Truth: FFmpeg's own opening with nothing spared, which decodes frames of every stream.
"""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.container
import pytest
from av.error import FFmpegError

from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile

from .decode_truth import origin_s, write_numbered

NUM_PACKETS = 80
# Container and encoder, and whether a frame is decoded on opening.
WRITTEN = {
    "mp4_h264": ("mp4", "libx264", False),
    "mov_h264": ("mov", "libx264", False),
    "mp4_hevc": ("mp4", "libx265", False),
    "mp4_vp9": ("mp4", "libvpx-vp9", False),
    "webm_vp9": ("webm", "libvpx-vp9", False),
    "matroska_h264": ("matroska", "libx264", True),
    "mp4_mpeg4": ("mp4", "mpeg4", True),
    "mpegts_h264": ("mpegts", "libx264", True),
}


def facts(container: av.container.InputContainer) -> list[Any]:
    """What is known of each stream, then how its packets are stamped."""
    known: list[Any] = [container.format.name, container.duration, container.start_time]
    for stream in container.streams:
        known.append((stream.type, stream.start_time, stream.time_base, stream.duration))
        if isinstance(stream, av.VideoStream) and stream.codec_context is not None:
            codec = stream.codec_context
            known.append((codec.name, codec.width, codec.height, bytes(codec.extradata or b"")))
            known.append((stream.average_rate, stream.guessed_rate, len(stream.index_entries)))
        if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
            codec = stream.codec_context
            known.append((codec.name, codec.sample_rate, codec.layout.name, codec.format.name))
    return known + list(islice(stamps(container), NUM_PACKETS))


def stamps(container: av.container.InputContainer) -> Iterator[tuple[Any, ...]]:
    try:
        for packet in container.demux(*container.streams.video, *container.streams.audio):
            yield packet.stream_index, packet.pts, packet.dts, packet.duration, packet.is_keyframe
    except FFmpegError as error:
        yield (type(error).__name__,)


@pytest.fixture(params=WRITTEN)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, bool]:
    """A clip, and whether FFmpeg has to decode a frame of it to open it."""
    container_format, encoder, is_decoded = WRITTEN[request.param]
    path = write_numbered(tmp_path / "clip", encoder, container_format)
    return path.read_bytes(), is_decoded


def test_what_the_header_says_is_not_decoded_for(written: tuple[bytes, bool]) -> None:
    content, is_decoded = written
    with (
        av.open(io.BytesIO(content), mode="r") as plain,
        MediaFile(content, DecodeLimits()) as media,
    ):
        assert media.video is not None
        # Only a decoded frame tells how its samples lie in memory.
        assert (media.video.codec_context.pix_fmt is not None) == is_decoded
        assert media.origin_s == origin_s(plain)
        assert facts(media.container) == facts(plain)


def test_what_was_not_decoded_for_is_known_with_the_first_frame(
    written: tuple[bytes, bool],
) -> None:
    with MediaFile(written[0], DecodeLimits()) as media:
        assert media.video is not None
        frames = (f for p in media.packets(media.video) for f in media.decode_video(p))
        assert next(frames).format.name == "yuv420p"
        assert media.video.codec_context.pix_fmt == "yuv420p"
        frames.close()


@pytest.mark.media
def test_real_files_are_known_as_if_nothing_were_spared(media_root: Path) -> None:
    num_spared = 0
    for path in sorted(p for p in media_root.rglob("*") if p.suffix in {".mp4", ".mov", ".webm"}):
        content = path.read_bytes()
        try:
            plain = av.open(io.BytesIO(content), mode="r")
        except FFmpegError:
            continue
        with plain, MediaFile(content, DecodeLimits()) as media:
            assert facts(media.container) == facts(plain), path.name
            if media.video is not None:
                num_spared += media.video.codec_context.name in {"h264", "hevc", "vp9"}
    assert num_spared > 30
