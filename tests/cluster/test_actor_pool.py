"""The stream is the plain stream whatever becomes of its pool: grown, shrunk, killed, without room."""

import inspect
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import GeneratorType
from typing import Any

import pytest
import ray

from avrep.cluster import decode_pool, pool_size
from avrep.cluster.decode_pool import DecodePool
from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog
from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.types import Batch
from tests.faults.runs import digest, make_source, plain_digests
from tests.faults.victims import decoders, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]

_NUM_SLOTS = 4


@pytest.fixture(autouse=True)
def _free_slots(ray_cluster: None) -> None:
    """Actors of other tests may still be on their way out."""
    del ray_cluster
    wait_until(lambda: ray.available_resources().get("CPU", 0) >= _NUM_SLOTS, "slots are free")


class _Idle:
    def here(self) -> None:
        """Answers when it has its slot."""


def pool_of(stream: Iterator[Batch]) -> DecodePool:
    assert isinstance(stream, GeneratorType)
    return inspect.getgeneratorlocals(stream)["self"]._pool


def until_settled(pool: DecodePool) -> None:
    def settled() -> bool:
        pool.tend()
        pool.running(0)
        return not pool._coming and all(worker.starting is None for worker in pool._workers)

    wait_until(settled, "the actors that were asked for have come up")


def test_a_pool_that_changes_at_planted_moments(
    synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it would do by itself is not planted.
    monkeypatch.setattr(pool_size, "_WINDOW_S", float("inf"))
    monkeypatch.setattr(decode_pool, "_ROOM_WITHIN_S", float("inf"))
    source, steps = make_source(synth_catalog), range(60)
    received: list[str] = []
    sizes: list[int] = []
    with ray_stream(source, steps, num_actors=1, max_actors=4) as stream:
        pool = pool_of(stream)
        for batch in stream:
            received.append(digest(batch))
            sizes.append(batch.num_decoders)
            assert batch.failures == ()
            if batch.step == 4:
                pool.grow(3)
                until_settled(pool)
            elif batch.step == 12:
                pool.shrink(2)
            elif batch.step == 16:
                os.kill(decoders()[0], signal.SIGKILL)
            elif batch.step == 32:
                # Four had been asked for twelve steps ahead: only now are two slots free again.
                assert not pool.is_changing
                pool.grow(2)
                until_settled(pool)
            elif batch.step == 40:
                # Of four; one stays, as there must be one at least.
                pool.shrink(4)
                # One that has work left and leaves with it undone.
                leaving = pool._leaving[-1]
                assert leaving.where is not None
                assert leaving.num_queued > 0
                os.kill(leaving.where.pid, signal.SIGKILL)
        assert not pool.is_changing
        wait_until(lambda: len(decoders()) == 1, "those that were let go have ended")
    assert received == plain_digests(source, steps)
    assert (sizes[4], sizes[6], sizes[15], sizes[-1]) == (1, 4, 2, 1)


def test_a_cluster_without_room_is_no_error(
    synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool_size, "_WINDOW_S", float("inf"))
    source, steps = make_source(synth_catalog), range(12)
    received: list[str] = []
    too_many = 3 + int(ray.cluster_resources()["CPU"])
    with ray_stream(source, steps, num_actors=1, max_actors=too_many) as stream:
        pool = pool_of(stream)
        for batch in stream:
            received.append(digest(batch))
            if batch.step == 1:
                pool.grow(too_many)
            elif batch.step == 8:
                monkeypatch.setattr(decode_pool, "_ROOM_WITHIN_S", 0.0)
                with caplog.at_level(logging.WARNING):
                    pool.tend()
        assert pool._coming == []
        pool.grow(1)
        assert pool._coming == []
        assert len(pool) < too_many
    assert received == plain_digests(source, steps)
    assert len([r for r in caplog.records if "no room in the cluster" in r.message]) == 1


@pytest.mark.parametrize("whose", ["its own", "another corpus's"])
def test_an_actor_that_dies_while_others_wait_for_its_slot(
    whose: str, synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were asked for before its replacement is, and the stream goes on all the same."""
    monkeypatch.setattr(decode_pool, "_SAY_WAITING_EVERY_S", 1.0)
    source, steps = make_source(synth_catalog), range(12)
    other = DecodePool(source, 1, READ_AHEAD_BYTES, 2)
    other.running(0)
    received: list[str] = []
    idle: list[Any] = []
    with ray_stream(source, steps, num_actors=1, max_actors=2) as stream:
        pool = pool_of(stream)
        growing = pool if whose == "its own" else other
        for batch in stream:
            received.append(digest(batch))
            if batch.step == 1:
                idle = _hold_free_slots()
                growing.grow(1)
            elif batch.step == 2:
                assert len(growing) == 1
                assert growing._coming
                (worker,) = pool._workers
                assert worker.where is not None
                os.kill(worker.where.pid, signal.SIGKILL)
    other.stop()
    for actor in idle:
        ray.kill(actor)
    assert received == plain_digests(source, steps)


def _hold_free_slots() -> list[Any]:
    idle: Any = ray.remote(num_cpus=1)(_Idle)
    actors = [idle.remote() for _ in range(int(ray.available_resources()["CPU"]))]
    ray.get([actor.here.remote() for actor in actors])
    return actors


def test_actors_that_end_on_their_way_are_done_without(
    synth_catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The catalogue is no longer where they look for it."""
    path = Path(shutil.copy(synth_catalog.path, tmp_path / "c.parquet"))
    pool = DecodePool(make_source(Catalog.open(path)), 1, READ_AHEAD_BYTES, 3)
    try:
        pool.running(0)
        path.unlink()
        pool.grow(2)
        with caplog.at_level(logging.WARNING):
            until_settled(pool)
        assert len(pool) == 1
        assert pool.running(0).starting is None
        assert "no more decode actors than 1" in caplog.text
        assert "no catalogue at" in caplog.text
    finally:
        pool.stop()


def test_it_grows_while_the_trainer_waits_and_shrinks_when_there_is_little_to_do(
    synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_size, "_WINDOW_STEPS", 3)
    monkeypatch.setattr(pool_size, "_WINDOW_S", 0.0)
    monkeypatch.setattr(pool_size, "_IDLE_WINDOWS", 1)
    source, steps = make_source(synth_catalog), range(5000)
    with ray_stream(source, steps, num_actors=1, max_actors=3) as stream:
        # Nothing is done here but wait.
        largest = next(batch.step for batch in stream if batch.num_decoders == 3)
        # Whatever else this machine does: no waiting is too much, and no work.
        monkeypatch.setattr(pool_size, "_GROW_ABOVE", 2.0)
        monkeypatch.setattr(pool_size, "_SHRINK_BELOW", 2.0)
        monkeypatch.setattr(pool_size, "_MAX_BUSY", float("inf"))
        smallest = next(batch.step for batch in stream if batch.num_decoders == 1)
    assert 0 < largest < smallest < 4999
