"""What a stranger's file may cost: the limits on everything that is opened and decoded."""

from pydantic import Field

from avrep.frozen import FrozenConfig


class DecodeLimits(FrozenConfig):
    """Media is untrusted input: whatever is over a limit is refused before it is allocated.

    Defaults are avrep's own, wide enough for any real recording and small enough that one decode
    cannot take down an actor.
    """

    max_pixels: int = Field(default=2**25, gt=0)
    """Pixels of one stored frame; 2**25 is just over 8K UHD (7680 x 4320). A decoder may hold 16
    such frames for reference, 1.5 bytes a pixel at 8 bits: 800 MB at the default."""
    max_duration_s: float = Field(default=6 * 3600.0, gt=0)
    """Length of an item; six hours cover a long film, a lecture or a match."""
    max_streams: int = Field(default=32, gt=0)
    """Streams of any kind in one container."""
    max_output_bytes: int = Field(default=2**30, gt=0)
    """Frames and samples given by one decode, all views together; 1 GiB is 170 full-HD frames."""
    max_packets: int = Field(default=4_000_000, gt=0)
    """Packets read by one call, so that no file can hold a decoder forever; six hours at 60 frames
    and 100 sound packets a second are 3.5 million."""
    max_memory_bytes: int = Field(default=2**31, gt=0)
    """What a decoding process may allocate beyond what it holds when it starts (Linux); 2 GiB hold
    the reference frames and the output at the limits above. A file that needs more is refused."""
    deadline_s: float = Field(default=60.0, gt=0)
    """Wall-clock time for fetching and decoding one item; a decoding process over it is killed. The item
    is then tried by itself, with as much time for its bytes to come and again for decoding them: what
    the store is late with fails this once, and is not held against the item."""
