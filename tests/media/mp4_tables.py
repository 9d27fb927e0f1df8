"""Damage to one number in the tables of an MP4 file: where its frames lie, and how many there are."""

import struct


def pointing_past_the_end(content: bytes) -> bytes:
    """The chunk in the middle of the first track is said to lie 4 GB into the file."""
    table = content.index(b"stco")
    (num_chunks,) = struct.unpack(">I", content[table + 8 : table + 12])
    return _with_number(content, table + 12 + 4 * (num_chunks // 2), 0xF0000000)


def claiming_frames(content: bytes, num_frames: int) -> bytes:
    """The first track is said to have about so many frames."""
    return _with_number(content, content.index(b"stts") + 12, num_frames)


def _with_number(content: bytes, place: int, number: int) -> bytes:
    return content[:place] + struct.pack(">I", number) + content[place + 4 :]
