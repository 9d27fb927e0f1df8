"""Proves that a file which needs more memory than it may have is refused, and the process lives on.

Each limit is set in a process of its own, by a real decode of large frames.
"""

import subprocess
import sys
from pathlib import Path

import av
import pytest

from avrep.media.limits import DecodeLimits

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
