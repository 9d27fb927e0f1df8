"""Proves that a decode takes no more memory than it may, and leaves none behind.

Each limit is set in a process of its own, by a real decode of large frames.
"""

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.media.limits import DecodeLimits
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Geometry

from .decode_truth import at

DECODE = """
import sys
import numpy as np
from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.media.limits import DecodeLimits
from avrep.media.memory import limit_memory
from avrep.types import ClipTimes, Geometry

content = open(sys.argv[1], "rb").read()
small = open(sys.argv[2], "rb").read()
wanted = ClipTimes(frames_s=np.arange(6) / 25 + 0.01)
geometry = Geometry(short_side_px=64)
decode(small, wanted, geometry)
limit_memory(int(sys.argv[3]))
try:
    print("clip", decode(content, wanted, geometry).video.shape)
except MediaError as error:
    print(error)
print("small", decode(small, wanted, geometry).video.shape)
"""

FREE_AND_ALLOCATE = """
import resource, sys
from avrep.media.memory import reuse_freed_memory

if sys.argv[1] == "reused":
    reuse_freed_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # Zeroed by writing, as frames are filled.
    clips = [bytearray(b"x") * 2**22 for _ in range(8)]
    del clips
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory on Linux only")


@pytest.fixture(scope="module")
def large_and_small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("sizes")
    for name, width_px, height_px in (("large", 3840, 2176), ("small", 128, 96)):
        with av.open(folder / f"{name}.mp4", "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            stream.codec_context.thread_count = 1
            for _ in range(6):
                container.mux(stream.encode(av.VideoFrame(width_px, height_px, "yuv420p")))
            container.mux(stream.encode(None))
    return [str(folder / "large.mp4"), str(folder / "small.mp4")]


def lines_of(large_and_small: list[str], max_bytes: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", DECODE, *large_and_small, str(max_bytes)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout.splitlines()


def test_large_frames_are_refused_under_a_small_limit(large_and_small: list[str]) -> None:
    # One frame is 12.5 MB, and a decoder holds several.
    refused, after = lines_of(large_and_small, 24 * 2**20)
    assert refused.startswith("limits: over the memory limit")
    assert after == "small (6, 64, 85, 3)"


def test_the_same_frames_pass_under_the_default(large_and_small: list[str]) -> None:
    decoded, _ = lines_of(large_and_small, DecodeLimits().max_memory_bytes)
    assert decoded == "clip (6, 64, 113, 3)"


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of the GNU C library."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def used_bytes() -> int:
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Heap
    return int(library.mallinfo2().uordblks)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("cut", [1.0, 0.6], ids=["whole", "truncated"])
def test_a_decode_leaves_nothing_for_the_collector(tmp_path: Path, cut: float) -> None:
    """A file held in a cycle would stay open, with its decoder's pictures, until a collection."""
    write_timing_clip(tmp_path / "c.mp4", TimingSpec(num_frames=240, flash_frames=(9,)))
    content = (tmp_path / "c.mp4").read_bytes()
    content = content[: int(cut * len(content))]
    geometry = Geometry(short_side_px=32, rate_hz=8000)
    wanted = at(0.5, 0.6, 5.0, 5.1, 7.9, audio_s=(0.5, 1.5))

    def decode_often() -> None:
        for _ in range(300):
            try:
                decode(content, wanted, geometry)
            except MediaError:
                assert cut < 1

    decode_often()
    before, used_before = {id(kept) for kept in gc.get_objects()}, used_bytes()
    decode_often()
    used = used_bytes() - used_before
    left = [type(kept).__name__ for kept in gc.get_objects() if id(kept) not in before]
    assert not {"MediaFile", "DecodeRun", "InputContainer", "generator"} & set(left)
    # A packet that is not let go is 148 bytes; what else runs in this process takes some kB.
    assert used < 300 * 50


def test_freed_memory_is_used_again() -> None:
    """Pages that the kernel hands out for 32 MB (8,192 pages) allocated and freed, again and again."""
    num_faults = {
        how: int(subprocess.check_output([sys.executable, "-c", FREE_AND_ALLOCATE, how], text=True))
        for how in ("as_it_comes", "reused")
    }
    assert num_faults["reused"] < 50
    assert num_faults["as_it_comes"] > 4000
