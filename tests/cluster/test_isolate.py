"""Who is to blame for a dead decode actor: the item that was alone with it, more than once.

decord ends its process with a segmentation fault on real damaged files; a person's SIGKILL does the
same to an actor that decodes good ones.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pipeline.quarantine import KnownBad, QuarantineWriter, read_quarantine
from avrep.types import MediaItem
from tests.faults.runs import digest, make_source, plain_digests
from tests.faults.victims import striking

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

_CRASH_FINDER = """
import sys
import numpy as np
from avrep.errors import MediaError
from avrep.media.decode import decode_views
from avrep.media.memory import reuse_freed_memory
from avrep.types import ClipTimes, Geometry
from tests.cluster.test_isolate import overwritten

# As a decode actor: what a stray access hits depends on what lies around it.
reuse_freed_memory()
content = open(sys.argv[1], "rb").read()
times = ClipTimes(frames_s=np.array([2.0, 4.0]))
for _ in range(int(sys.argv[4])):
    decode_views(content, [times], Geometry(), decoder="decord")
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    print(seed, flush=True)
    try:
        decode_views(overwritten(content, seed), [times], Geometry(), decoder="decord")
    except MediaError:
        pass
"""


def overwritten(content: bytes, seed: int) -> bytes:
    """2,000 random bytes in random places, as a failing disk or a careless program leaves them."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), 2000).tolist():
        damaged[place] = int(rng.integers(256))
    return bytes(damaged)


def crashing_seed(path: Path, first_seed: int) -> int:
    """The first seed whose damage ends every process that decodes the file with decord."""
    seed = first_seed
    while True:
        found = _crash(path, seed, 400)
        assert found is not None, "no damage ends decord's process"
        # Wherever its stray access goes: after more or less work, in memory of any content.
        if all(
            _crash(path, found, found + 1, num_before, fill) == found
            for num_before, fill in ((0, "0"), (1, "85"), (4, "170"), (9, "255"))
        ):
            return found
        seed = found + 1


def _crash(
    path: Path, first_seed: int, end_seed: int, num_before: int = 0, fill: str = "0"
) -> int | None:
    """The first of some seeds at which the process ends, one after the other.

    Args:
        path: the file to damage.
        first_seed: of the damage.
        end_seed: the first that is not tried.
        num_before: how often it decodes the file as it is first.
        fill: what glibc fills memory with, that is allocated or freed; "0": nothing.
    """
    numbers = [str(first_seed), str(end_seed), str(num_before)]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler=0", "-c", _CRASH_FINDER, str(path), *numbers],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_PERTURB_": fill},
    )
    if done.returncode == 0:
        return None
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS), done.stderr
    return int(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def crashing_catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """18 good items and 2 that end decord's process."""
    folder = tmp_path_factory.mktemp("crash")
    config = SynthConfig(
        num_videos=2, num_flash_beep=0, num_speech=0, duration_s=5.0, width_px=320, height_px=240
    )
    write_corpus(folder / "made", config)
    index_sources([str(folder / "made")], folder / "made.parquet", num_workers=1)
    good = list(Catalog.open(folder / "made.parquet"))
    source = folder / "made" / good[0].shard
    items: list[MediaItem] = []
    for number in range(18):
        item = good[number % len(good)]
        shutil.copy(folder / "made" / item.shard, folder / f"{number}.mp4")
        items.append(replace(item, key=f"good-{number}", shard=f"{number}.mp4", crc32=None))
    seed = -1
    for number in (5, 12):
        seed = crashing_seed(source, seed + 1)
        (folder / f"bad-{number}.mp4").write_bytes(overwritten(source.read_bytes(), seed))
        bad = replace(good[0], key=f"bad-{number}", shard=f"bad-{number}.mp4", crc32=None)
        items.insert(number, bad)
    write_catalog(folder / "c.parquet", items, str(folder))
    return Catalog.open(folder / "c.parquet")


def test_a_decoder_that_ends_its_process(
    crashing_catalog: Catalog, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two files of twenty; the same stream from 1 and 3 actors, and where they were known before.

    In the run with three actors, good items' actors are killed as well, and are not blamed. Where a
    stray access goes is chance: now and then a file is refused that has ended every process so far.
    """
    source, steps = make_source(crashing_catalog, decoder="decord"), range(15)
    writer = QuarantineWriter(tmp_path, rank=0)
    received: dict[int, list[str]] = {1: [], 3: []}
    blamed: dict[int, set[str]] = {1: set(), 3: set()}
    num_crashed = 0
    for num_actors in (3, 1):
        with (
            ray_stream(source, steps, num_actors=num_actors) as stream,
            striking(2 if num_actors == 3 else 0, len(steps), seed=3) as strikes,
        ):
            for batch in stream:
                received[num_actors].append(digest(batch))
                strikes.arrived(batch.step)
                writer.add(batch.step, batch.failures)
                for failure in batch.failures:
                    blamed[num_actors].add(failure.key)
                    num_crashed += failure.stage == "crash"
                    assert (failure.stage, failure.attempts) in (("crash", 3), ("video", 1))
                    assert failure.error == "MediaError"
                    assert failure.node == socket.gethostname()
                    assert failure.uri.endswith(f"{failure.key}.mp4")
        assert len(strikes.hit) == (2 if num_actors == 3 else 0)
    assert blamed == {1: {"bad-5", "bad-12"}, 3: {"bad-5", "bad-12"}}
    assert num_crashed >= 2
    assert received[1] == received[3]
    known_bad = KnownBad(replace(entry, step=0) for entry in read_quarantine(tmp_path))
    informed = replace(source, known_bad=known_bad)
    assert plain_digests(informed, steps) == received[1]
    record_property("fault", "decord ends its process: 2,000 bytes of an MP4 overwritten")
    record_property("planted", 2)
    record_property("result", "2 items reported; same with 1 and 3 actors, and when known")
