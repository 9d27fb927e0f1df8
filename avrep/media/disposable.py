"""Which packets hold a frame that no other frame needs: one that may go undecoded unless shown."""

from collections.abc import Callable, Iterator

import av

from avrep.media.h264_sps import (
    has_whole_frames_only,
    nal_length_size,
    sequence_headers,
    split_units,
)

DisposableTest = Callable[[av.Packet], bool]

# H.264 (table 7-1): slices, which carry nal_ref_idc, and units beside them that change nothing for
# later frames: extra information, delimiter, filler.
_H264_SLICES = frozenset({1, 2, 3, 4, 5})
_H264_HARMLESS = frozenset({6, 9, 12})
_H264_SPS = 7
# HEVC (table 7-1): the slices that are no reference in their own temporal layer, and likewise 35
# delimiter, 38 filler, 39 and 40 extra information.
_HEVC_SPARE_SLICES = frozenset(range(0, 15, 2))
_HEVC_HARMLESS = frozenset({35, 38, 39, 40})


def disposable_test(stream: av.VideoStream) -> DisposableTest | None:
    """The test for a stream's packets, each of which it must see; None: nothing may be left out.

    H.264: all slices have nal_ref_idc 0 (ITU-T H.264, 7.4.1), which is what FFmpeg's own
    `skip_frame=nonref` goes by. What the container says does not count here: to leave out a frame
    that is marked as a reference upsets the numbering of those after it. Streams that may have
    fields are left alone, since the two fields of a frame can be two packets.

    HEVC: the container says that nothing depends on the frame, and its slices are no reference in
    their temporal layer; the bits alone do not tell whether there is a higher one.

    MPEG-4 part 2 is left alone: FFmpeg takes the distance of fields in interlaced streams from the
    first B-frame that it decodes. (UCF101 and HMDB51 are AVI, which has no times of display.)
    """
    extradata = stream.codec_context.extradata or b""
    name = stream.codec_context.name
    if name == "h264" and has_whole_frames_only(extradata):
        return _H264Test(extradata)
    if name == "hevc":
        return _HevcTest(extradata)
    return None


class _H264Test:
    def __init__(self, extradata: bytes) -> None:
        self._length_size = nal_length_size(extradata)
        self._headers = sequence_headers(extradata)
        self._is_as_announced = True

    def __call__(self, packet: av.Packet) -> bool:
        content = bytes(packet)
        num_slices, is_spare = 0, True
        for unit_type, unit in _typed_units(content, self._length_size, shift=0, mask=31):
            if unit_type in _H264_SLICES:
                num_slices += 1
                is_spare &= not unit[0] & 0x60
            else:
                is_spare &= unit_type in _H264_HARMLESS
                if unit_type == _H264_SPS and bytes(unit) not in self._headers:
                    # Another stream from here on, of which we know too little.
                    self._is_as_announced = False
        return self._is_as_announced and is_spare and num_slices > 0


class _HevcTest:
    def __init__(self, extradata: bytes) -> None:
        # The configuration record starts with its version, 1; start codes start with 0.
        is_record = len(extradata) > 22 and extradata[0] == 1
        self._length_size = (extradata[21] & 3) + 1 if is_record else None

    def __call__(self, packet: av.Packet) -> bool:
        if not packet.is_disposable:
            return False
        units = _typed_units(bytes(packet), self._length_size, shift=1, mask=63)
        types = {unit_type for unit_type, _ in units}
        return bool(types & _HEVC_SPARE_SLICES) and types <= _HEVC_SPARE_SLICES | _HEVC_HARMLESS


def _typed_units(
    content: bytes, length_size: int | None, *, shift: int, mask: int
) -> Iterator[tuple[int, memoryview]]:
    for unit in split_units(content, length_size):
        yield unit[0] >> shift & mask, unit
