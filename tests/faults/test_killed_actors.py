"""Decode actors that are killed, frozen or cannot start: the stream's content does not change.

The truth is the plain generator, which has no actors.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from avrep.cluster.stream import ray_stream
from avrep.errors import AvrepError
from avrep.media.catalog import Catalog
from avrep.media.limits import DecodeLimits

from .runs import digest, make_source, plain_digests
from .victims import are_up, decoders, is_alive, striking, wait_until, wait_until_gone

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _no_actors_of_earlier_tests() -> None:
    wait_until(lambda: not decoders(), "earlier decode actors have ended")


@pytest.mark.parametrize(
    ("num_steps", "num_kills"),
    [(60, 3), pytest.param(500, 20, marks=pytest.mark.slow)],
)
def test_actors_killed_at_random_moments(
    synth_catalog: Catalog, record_property: Record, num_steps: int, num_kills: int
) -> None:
    source = make_source(synth_catalog)
    received: list[str] = []
    with (
        ray_stream(source, range(num_steps), num_actors=2) as stream,
        striking(num_kills, num_steps, seed=7) as strikes,
    ):
        for batch in stream:
            assert batch.failures == ()
            received.append(digest(batch))
            strikes.arrived(batch.step)
    assert len(strikes.hit) == num_kills
    assert received == plain_digests(source, range(num_steps))
    record_property("fault", f"SIGKILL of a decode actor, {num_steps} steps")
    record_property("planted", num_kills)
    record_property("result", f"{num_steps} of {num_steps} batch digests unchanged, no file blamed")


def test_all_actors_killed_at_once(synth_catalog: Catalog, record_property: Record) -> None:
    source, steps = make_source(synth_catalog), range(30)
    received: list[str] = []
    num_killed = 0
    with ray_stream(source, steps, num_actors=3) as stream:
        for batch in stream:
            assert batch.failures == ()
            received.append(digest(batch))
            if batch.step in (2, 12):
                for pid in decoders():
                    os.kill(pid, signal.SIGKILL)
                    num_killed += 1
    # Those of the first time may still be on their way back at the second.
    assert num_killed >= 2
    assert received == plain_digests(source, steps)
    record_property("fault", "SIGKILL of all decode actors at once")
    record_property("planted", num_killed)
    record_property("result", "digests unchanged, no file blamed")


@pytest.mark.slow
def test_frozen_actors_are_killed_from_outside(
    synth_catalog: Catalog, record_property: Record
) -> None:
    """SIGSTOP stops the actor's own deadline too; the trainer must notice, and blame no file."""
    # As many visits as an actor was asked for are the patience that it is shown: one a step.
    limits = DecodeLimits(deadline_s=5.0)
    source, steps = make_source(synth_catalog, global_batch=1, limits=limits), range(30)
    received: list[str] = []
    frozen: list[int] = []
    try:
        with ray_stream(source, steps, num_actors=2) as stream:
            for batch in stream:
                assert batch.failures == ()
                received.append(digest(batch))
                if batch.step == 5:
                    # Before its trainer knows where it runs, an actor can only be asked to end.
                    wait_until(lambda: are_up(2), "both actors are up")
                if batch.step == 10:
                    frozen = decoders()
                    for pid in frozen:
                        os.kill(pid, signal.SIGSTOP)
        wait_until_gone(frozen)
    finally:
        for pid in filter(is_alive, frozen):
            os.kill(pid, signal.SIGKILL)
    assert frozen
    assert received == plain_digests(source, steps)
    record_property("fault", "SIGSTOP of all decode actors: frozen, not dead")
    record_property("planted", len(frozen))
    record_property("result", "killed from outside, digests unchanged, no file blamed")


def test_actors_that_cannot_start_blame_no_file(
    synth_catalog: Catalog, record_property: Record, tmp_path: Path
) -> None:
    """The catalogue is not where the actors look for it, as on a node that does not mount it."""
    path = Path(shutil.copy(synth_catalog.path, tmp_path / "c.parquet"))
    source = make_source(Catalog.open(path))
    path.unlink()
    with (
        ray_stream(source, range(4), num_actors=2) as stream,
        pytest.raises(AvrepError, match=r"end as soon as they start.*no catalogue at") as caught,
    ):
        next(stream)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    record_property("fault", "decode actors that cannot start")
    record_property("planted", 6)
    record_property("result", "one clear error after 3 starts of each, no file blamed")
