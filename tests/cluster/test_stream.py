"""Ray's stream is the plain stream: the same batches in the same order, whatever decodes them."""

import inspect
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import GeneratorType

import numpy as np
import pytest
import ray
from ray.exceptions import RayError

from avrep.cluster.decode_pool import DecodePool
from avrep.cluster.isolate import own_error
from avrep.cluster.stream import ray_stream
from avrep.errors import ConfigError, FailureBudgetExceeded
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.pipeline.plan import Plan, visits
from avrep.pipeline.reader import Order
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry, MediaItem, VideoStream
from tests.faults.victims import decoders

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


@pytest.mark.parametrize(("num_actors", "prefetch_bytes"), [(1, 2**20), (2, 2**29), (4, 2**22)])
def test_any_number_of_actors_gives_the_plain_stream(
    synth_catalog: Catalog, num_actors: int, prefetch_bytes: int
) -> None:
    """The smallest budget holds one visit a part, and the parts of a step are joined."""
    source = make_source(synth_catalog)
    steps = range(2, 13)
    with ray_stream(source, steps, num_actors=num_actors, prefetch_bytes=prefetch_bytes) as stream:
        assert_same(list(stream), list(batches(source, steps)))


def test_parts_that_do_not_fit_are_finished_later(synth_catalog: Catalog) -> None:
    """A budget below what the actor was told to expect: it returns what fits, and is asked again."""
    source = make_source(synth_catalog)
    one_visit_bytes = 2 * 4 * 32 * 43 * 3
    with ray_stream(
        source, range(4), num_actors=1, prefetch_bytes=3 * int(1.5 * one_visit_bytes)
    ) as stream:
        assert_same(list(stream), list(batches(source, range(4))))


def test_clips_over_the_budget_fail_with_the_mend(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    with (
        ray_stream(source, range(1), num_actors=1, prefetch_bytes=3000) as stream,
        pytest.raises(FailureBudgetExceeded, match=r"raise data\.prefetch_bytes"),
    ):
        next(stream)


def test_a_budget_over_the_object_store_is_refused(synth_catalog: Catalog) -> None:
    with (
        pytest.raises(ConfigError, match="more than Ray's object store on this node holds"),
        ray_stream(make_source(synth_catalog), range(1), prefetch_bytes=2**45),
    ):
        pass


def test_ranks_have_their_parts(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    for rank in (0, 1):
        with ray_stream(source, range(3), rank, 2, num_actors=2) as stream:
            assert_same(list(stream), list(batches(source, range(3), rank, 2)))


@pytest.mark.slow
def test_killed_actors_are_replaced_and_nothing_changes(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    steps = range(24)
    received: list[Batch] = []
    with ray_stream(source, steps, num_actors=2) as stream:
        for batch in stream:
            received.append(batch)
            if batch.step in (3, 9, 15):
                victims = decoders()
                assert victims
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
    assert_same(received, list(batches(source, steps)))
    assert not [failure for batch in received for failure in batch.failures]


def test_a_slow_trainer_holds_the_actors_back(synth_catalog: Catalog) -> None:
    """What is read while the trainer does not ask is what the budget allows, however long it takes."""
    source = make_source(synth_catalog)
    with ray_stream(source, range(50), num_actors=2) as stream:
        next(stream)
        time.sleep(2.0)
        _, pending = ray.wait(in_flight(stream), num_returns=len(in_flight(stream)), timeout=0)
        # Three parts an actor, one of them just handed over.
        assert len(in_flight(stream)) == 5
        assert not pending


def in_flight(stream: Iterator[Batch]) -> list[ray.ObjectRef]:
    assert isinstance(stream, GeneratorType)
    conductor = inspect.getgeneratorlocals(stream)["self"]
    return [asked.ref for asked in conductor._in_flight]


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
    pool = DecodePool(make_source(synth_catalog), 1, READ_AHEAD_BYTES)
    try:
        actor = pool.running(0).actor
        planned = visits(make_source(synth_catalog).plan, 0)
        ray.get(actor.read.remote(0, [Order(visit) for visit in planned], 2**24))
        loaded = ray.get(actor.__ray_call__.remote(loaded_modules))
        assert "numpy" in loaded
        assert "av" in loaded
        assert not {"torch", "torchvision", "torchaudio", "matplotlib"} & set(loaded)
    finally:
        pool.stop()


def loaded_modules(_actor: object) -> list[str]:
    return [name for name in sys.modules if "." not in name]


@pytest.mark.parametrize("kind", [MemoryError, ConfigError, KeyError])
def test_an_actor_without_memory_counts_as_dead_and_other_errors_are_told(
    kind: type[Exception],
) -> None:
    def fail() -> None:
        raise kind("planted")

    with pytest.raises(RayError) as raised:
        ray.get(ray.remote(fail).remote())
    own = own_error(raised.value)
    if kind is MemoryError:
        assert own is None
    elif kind is ConfigError:
        assert type(own) is ConfigError
        assert str(own) == "planted"
    else:
        assert own is raised.value
