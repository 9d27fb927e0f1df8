"""Ray's stream is the plain stream: the same batches in the same order, whatever decodes them."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.actor import ActorHandle

import avrep.cluster.stream as stream_module
from avrep.cluster.decode_pool import start_decode_pool, stop_decode_pool
from avrep.cluster.stream import ray_stream
from avrep.errors import FailureBudgetExceeded
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry, MediaItem, VideoStream

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def make_source(catalog: Catalog) -> StreamSource:
    spec = ViewSpec(sampler=PairConfig(num_frames=4, stride=2), geometry=Geometry(short_side_px=32))
    plan = Plan(seed=1, rows=catalog.rows_with(video=True), global_batch=4)
    return StreamSource(catalog=catalog, plan=plan, specs=(spec,))


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    assert [batch.addresses for batch in left] == [batch.addresses for batch in right]
    for a, b in zip(left, right, strict=True):
        for mine, other in zip(a.views, b.views, strict=True):
            np.testing.assert_array_equal(mine.video, other.video)


@pytest.mark.parametrize(("num_actors", "prefetch"), [(1, 1), (2, 2), (3, 4)])
def test_any_number_of_actors_gives_the_plain_stream(
    synth_catalog: Catalog, num_actors: int, prefetch: int
) -> None:
    source = make_source(synth_catalog)
    steps = range(2, 13)
    with ray_stream(source, steps, num_actors=num_actors, prefetch_batches=prefetch) as stream:
        assert_same(list(stream), list(batches(source, steps)))


def test_ranks_have_their_parts(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    for rank in (0, 1):
        with ray_stream(source, range(3), rank, 2, num_actors=2) as stream:
            assert_same(list(stream), list(batches(source, range(3), rank, 2)))


def test_killed_actors_come_back_and_nothing_changes(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    steps = range(24)
    received: list[Batch] = []
    with ray_stream(source, steps, num_actors=2, prefetch_batches=2) as stream:
        for batch in stream:
            received.append(batch)
            if batch.step in (3, 9, 15):
                assert kill_decoders() > 0
    assert_same(received, list(batches(source, steps)))


def kill_decoders() -> int:
    """SIGKILL to every process of a decode actor; how many there were."""
    killed = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::DecodeWorker"):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    return killed


def test_no_more_batches_are_decoded_ahead_than_asked(
    synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that stops asking leaves the actors idle after their share."""
    asked: list[int] = []
    original = stream_module.submit

    def counted(actor: ActorHandle, step: int, rank: int, world_size: int) -> ray.ObjectRef:
        asked.append(step)
        return original(actor, step, rank, world_size)

    monkeypatch.setattr(stream_module, "submit", counted)
    source = make_source(synth_catalog)
    with ray_stream(source, range(50), num_actors=2, prefetch_batches=3) as stream:
        assert [next(stream).step, next(stream).step] == [0, 1]
    # Six in flight at first, and one more when the first had been handed over.
    assert asked == list(range(7))


def test_an_error_arrives_as_without_ray(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"garbage")
    item = MediaItem(
        key="a.mp4",
        shard="a.mp4",
        offset_bytes=0,
        length_bytes=7,
        duration_s=2.0,
        video=VideoStream(width_px=64, height_px=48, fps=24.0, num_frames=48, codec="h264"),
    )
    write_catalog(tmp_path / "c.parquet", [item], str(tmp_path))
    catalog = Catalog.open(tmp_path / "c.parquet")
    spec = ViewSpec(sampler=PairConfig(), geometry=Geometry())
    plan = Plan(seed=1, rows=catalog.rows_with(video=True), global_batch=1)
    source = StreamSource(catalog=catalog, plan=plan, specs=(spec,))
    with (
        ray_stream(source, range(2), num_actors=1) as stream,
        pytest.raises(FailureBudgetExceeded, match="substitutes failed"),
    ):
        next(stream)


def test_decode_actors_import_no_torch(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    actors = start_decode_pool(source, 1)
    try:
        ray.get(actors[0].read.remote(0, 0, 1))
        loaded = ray.get(actors[0].__ray_call__.remote(loaded_modules))
        assert "numpy" in loaded
        assert "av" in loaded
        assert not {"torch", "torchvision", "torchaudio", "matplotlib"} & set(loaded)
    finally:
        stop_decode_pool(actors)


def loaded_modules(_actor: object) -> list[str]:
    return [name for name in sys.modules if "." not in name]
