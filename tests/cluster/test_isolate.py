"""Who is to blame for a dead decode actor: the item that was alone with it, more than once.

decord ends its process where it cannot make room for the frames that a damaged table claims, which
avrep refuses unless its limits are lifted; a person's SIGKILL does the same to an actor that decodes
good ones.
"""

import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import index_sources
from avrep.media.limits import DecodeLimits
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pipeline.quarantine import KnownBad, QuarantineWriter, read_quarantine
from avrep.types import MediaItem
from tests.faults.runs import digest, make_source, plain_digests
from tests.faults.victims import striking
from tests.media.mp4_tables import claiming_frames

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]


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
    for number in (5, 12):
        # 24 bytes a frame, which is more than an actor may have.
        damaged = claiming_frames(source.read_bytes(), 2_000_000_000)
        (folder / f"bad-{number}.mp4").write_bytes(damaged)
        bad = replace(good[0], key=f"bad-{number}", shard=f"bad-{number}.mp4", crc32=None)
        items.insert(number, bad)
    write_catalog(folder / "c.parquet", items, str(folder))
    return Catalog.open(folder / "c.parquet")


def test_a_decoder_that_ends_its_process(
    crashing_catalog: Catalog, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two files of twenty; the same stream from 1 and 3 actors, and where they were known before.

    In the run with three actors, good items' actors are killed as well, and are not blamed.
    """
    limits = DecodeLimits(max_packets=2**40)
    source, steps = make_source(crashing_catalog, decoder="decord", limits=limits), range(15)
    writer = QuarantineWriter(tmp_path, rank=0)
    received: dict[int, list[str]] = {1: [], 3: []}
    blamed: dict[int, set[str]] = {1: set(), 3: set()}
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
                    assert (failure.stage, failure.attempts) == ("crash", 3)
                    assert failure.error == "MediaError"
                    assert failure.node == socket.gethostname()
                    assert failure.uri.endswith(f"{failure.key}.mp4")
        assert len(strikes.hit) == (2 if num_actors == 3 else 0)
    assert blamed == {1: {"bad-5", "bad-12"}, 3: {"bad-5", "bad-12"}}
    assert received[1] == received[3]
    known_bad = KnownBad(replace(entry, step=0) for entry in read_quarantine(tmp_path))
    informed = replace(source, known_bad=known_bad)
    assert plain_digests(informed, steps) == received[1]
    record_property("fault", "decord ends its process: a table of an MP4 overwritten")
    record_property("planted", 2)
    record_property("result", "2 items reported; same with 1 and 3 actors, and when known")
