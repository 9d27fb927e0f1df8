"""The units of an H.264 stream, and the one flag in its headers that rules out fields."""

from collections.abc import Iterator

_START_CODE = b"\0\0\1"
# Profiles whose headers carry chroma format, bit depths and scaling lists (H.264, 7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SPS = 7


def nal_length_size(extradata: bytes) -> int | None:
    """Bytes of the length before each unit of a packet; None where start codes part them."""
    return (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else None


def has_whole_frames_only(extradata: bytes) -> bool:
    """Whether a stream's headers are known and rule out fields and mixtures of both.

    Args:
        extradata: of the codec, with lengths (avcC) or start codes (Annex B).
    """
    found = sequence_headers(extradata)
    return bool(found) and all(_frame_mbs_only(header) for header in found)


def sequence_headers(extradata: bytes) -> list[bytes]:
    """The sequence parameter sets, each with its first byte."""
    if nal_length_size(extradata) is None:
        return [bytes(unit) for unit in split_units(extradata, None) if unit[0] & 31 == _SPS]
    headers, place = [], 6
    for _ in range(extradata[5] & 31):
        length = int.from_bytes(extradata[place : place + 2])
        headers.append(extradata[place + 2 : place + 2 + length])
        place += 2 + length
    return headers


def split_units(content: bytes, length_size: int | None) -> Iterator[memoryview]:
    """The units of a packet, none of them empty.

    Args:
        content: the packet.
        length_size: bytes of the length before each unit, or None where start codes part them.
    """
    whole, place = memoryview(content), 0
    while length_size is not None and place + length_size < len(content):
        start = place + length_size
        place = start + int.from_bytes(content[place:start])
        if place > start:
            yield whole[start:place]
    if length_size is None:
        start = content.find(_START_CODE)
        while start >= 0:
            end = content.find(_START_CODE, start + 3)
            last = len(content) if end < 0 else end
            # Zero bytes before a start code belong to it.
            while last > start + 3 and not content[last - 1]:
                last -= 1
            if last > start + 3:
                yield whole[start + 3 : last]
            start = end


def _frame_mbs_only(header: bytes) -> bool:
    """frame_mbs_only_flag; False for a header that ends too early."""
    try:
        return _read_frame_mbs_only(_Bits(header[1:]))
    except IndexError:
        return False


def _read_frame_mbs_only(bits: "_Bits") -> bool:
    profile = bits.number(8)
    bits.number(16)
    bits.golomb()
    if profile in _HIGH_PROFILES:
        _pass_over_high_profile(bits)
    bits.golomb()  # log2_max_frame_num_minus4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.number(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()  # max_num_ref_frames
    bits.number(1)
    bits.golomb()
    bits.golomb()
    return bits.number(1) == 1


def _pass_over_high_profile(bits: "_Bits") -> None:
    chroma_format = bits.golomb()
    if chroma_format == 3:
        bits.number(1)
    bits.golomb()
    bits.golomb()
    bits.number(1)
    if bits.number(1):
        for number in range(12 if chroma_format == 3 else 8):
            if bits.number(1):
                _pass_over_scaling_list(bits, 16 if number < 6 else 64)


def _pass_over_scaling_list(bits: "_Bits", size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


class _Bits:
    """Bits of a unit, most significant first, without the bytes that guard against start codes."""

    def __init__(self, content: bytes) -> None:
        self._content = content.replace(b"\0\0\3", b"\0\0")
        self._place = 0

    def number(self, num_bits: int) -> int:
        value = 0
        for _ in range(num_bits):
            byte = self._content[self._place >> 3]
            value = value << 1 | byte >> (7 - (self._place & 7)) & 1
            self._place += 1
        return value

    def golomb(self) -> int:
        num_zeros = 0
        while not self.number(1):
            num_zeros += 1
        return (1 << num_zeros) - 1 + self.number(num_zeros)

    def signed_golomb(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value % 2 else -(value // 2)
