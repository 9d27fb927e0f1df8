"""A bad file costs one file: a corpus of which a tenth is bad in every way that we know of.

What is expected comes from the list of what was damaged: a visit goes to its first candidate that
was not, and the arrays are the plain generator's, which is told of the bad items from the start.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from avrep.cluster.stream import ray_stream
from avrep.config import RunConfig
from avrep.errors import FailureBudgetExceeded
from avrep.media.catalog import Catalog
from avrep.media.limits import DecodeLimits
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan, substitute, visits
from avrep.pipeline.quarantine import KnownBad, QuarantineWriter, read_quarantine
from avrep.pretrain import pretrain
from avrep.types import Address, Batch, Failure
from tests.servers.faulty_http import Fault, faulty_server

from .bad_corpus import DAMAGES, HANGS, Damage, write_bad_corpus
from .runs import digest, make_source, plain_digests

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

Record = Callable[[str, object], None]

# Long enough for a good tiny clip on a busy machine, short against what never ends.
_DEADLINE_S = 8.0


class Seen(NamedTuple):
    """What came of a stream."""

    addresses: list[tuple[Address, ...]]
    digests: list[str]
    failures: dict[int, tuple[Failure, ...]]
    """By step."""
    num_bad_packets: int


def see(batches: Iterable[Batch]) -> Seen:
    received = [(batch, digest(batch)) for batch in batches]
    return Seen(
        [batch.addresses for batch, _ in received],
        [taken for _, taken in received],
        {batch.step: batch.failures for batch, _ in received},
        sum(batch.num_bad_packets for batch, _ in received),
    )


def see_ray(source: StreamSource, steps: range, num_actors: int) -> Seen:
    with ray_stream(source, steps, num_actors=num_actors) as stream:
        return see(stream)


def expected_addresses(
    source: StreamSource, steps: range, is_bad: Callable[[str], bool]
) -> list[tuple[Address, ...]]:
    plan = source.plan
    assert isinstance(plan, Plan)
    expected: list[tuple[Address, ...]] = []
    for step in steps:
        row: list[Address] = []
        for visit in visits(plan, step):
            candidates = (substitute(plan, visit.address, attempt) for attempt in range(16))
            row.append(next(a for a in candidates if not is_bad(source.catalog[a.item].key)))
        expected.append(tuple(row))
    return expected


def quarantined(seen: Seen, run_dir: Path) -> KnownBad:
    """What a run that is resumed knows, by way of its file."""
    writer = QuarantineWriter(run_dir, rank=0)
    for step, failures in seen.failures.items():
        writer.add(step, failures)
    # What the store did not give is passed over where it was wanted, and there alone.
    return KnownBad(
        entry if entry.stage == "read" else replace(entry, step=0)
        for entry in read_quarantine(run_dir)
    )


def check_reports(seen: Seen, catalog: Catalog, damages: Sequence[Damage]) -> None:
    """Each bad item is reported with what a person needs; no good one, and none twice at a place."""
    failures = [failure for each in seen.failures.values() for failure in each]
    expected = {damage.name: damage for damage in damages if damage.fate != "salvaged"}
    assert {failure.key for failure in failures} == set(expected)
    items = {item.key: item for item in catalog}
    for failure in failures:
        damage, item = expected[failure.key], items[failure.key]
        assert failure.stage == damage.stage, failure
        assert failure.uri == f"{catalog.root}/{item.shard}"
        assert (failure.offset_bytes, failure.length_bytes) == (0, item.length_bytes)
        assert failure.node == socket.gethostname()
        assert failure.error == ("ShardError" if damage.stage == "read" else "MediaError")
        assert failure.attempts >= (2 if damage.fate == "hangs" else 1)
        assert failure.reason
    places = Counter(
        (step, failure.address) for step, each in seen.failures.items() for failure in each
    )
    assert set(places.values()) == {1}


@pytest.fixture(scope="module")
def bad_catalog(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return write_bad_corpus(tmp_path_factory.mktemp("bad") / "c", synth_catalog, DAMAGES)


def test_damaged_files_without_ray(bad_catalog: Catalog, tmp_path: Path) -> None:
    """The rule itself: 12 ways of damage in 120 items, over an epoch and a half."""
    source, steps = make_source(bad_catalog), range(45)
    seen = see(batches(source, steps))
    fails = {damage.name for damage in DAMAGES if damage.fate == "fails"}
    assert seen.addresses == expected_addresses(source, steps, fails.__contains__)
    check_reports(seen, bad_catalog, DAMAGES)
    assert seen.num_bad_packets > 0
    informed = replace(source, known_bad=quarantined(seen, tmp_path))
    assert plain_digests(informed, steps) == seen.digests


@pytest.mark.slow
def test_a_tenth_of_bad_items(
    synth_catalog: Catalog, tmp_path: Path, record_property: Record
) -> None:
    damages = (*DAMAGES, *HANGS)
    catalog = write_bad_corpus(tmp_path / "c", synth_catalog, damages)
    source = make_source(catalog, limits=DecodeLimits(deadline_s=_DEADLINE_S))
    steps = range(len(catalog) // 4 + 10)
    three = see_ray(source, steps, 3)
    fails = {damage.name for damage in damages if damage.fate != "salvaged"}
    assert three.addresses == expected_addresses(source, steps, fails.__contains__)
    check_reports(three, catalog, damages)
    informed = replace(source, known_bad=quarantined(three, tmp_path / "run"))
    plain = see(batches(informed, steps))
    assert plain.digests == three.digests
    assert plain.num_bad_packets == three.num_bad_packets > 0
    known_from_the_start = see_ray(informed, steps, 1)
    assert known_from_the_start.digests == three.digests
    one = see_ray(source, steps, 1)
    assert one.digests == three.digests
    check_reports(one, catalog, damages)
    record_property("fault", f"a tenth of {len(catalog)} items bad, in {len(damages)} ways")
    record_property("planted", len(damages))
    num_salvaged = sum(damage.fate == "salvaged" for damage in damages)
    record_property(
        "result",
        f"{len(fails)} reported and substituted, {num_salvaged} salvaged; same for 1 and 3 actors",
    )


@pytest.mark.parametrize("num_mute", [1, 2])
def test_a_store_that_stalls_takes_no_item_away(
    synth_catalog: Catalog, num_mute: int, record_property: Record
) -> None:
    """Longer than an item may take: once, and again when the item is tried by itself."""
    limits = DecodeLimits(deadline_s=_DEADLINE_S)
    with faulty_server(Path(synth_catalog.root)) as server:
        served = Catalog.open(synth_catalog.path, server.url)
        source = make_source(served, limits=limits)
        assert isinstance(source.plan, Plan)
        # Two epochs, so that each item is wanted again.
        steps = range(2 * len(source.plan.rows) // 4)
        late = served[visits(source.plan, 2)[1].address.item]
        server.plan(f"/{late.shard}", *[Fault(kind="mute")] * num_mute)
        seen = see_ray(source, steps, 2)
    failures = [failure for each in seen.failures.values() for failure in each]
    if num_mute == 1:
        assert not failures
    else:
        (failure,) = failures
        assert (failure.key, failure.stage, failure.attempts) == (late.key, "read", 2)
        assert "its bytes did not come in the time" in failure.reason
    disturbed = {step for step, each in seen.failures.items() if each}
    local = make_source(synth_catalog, limits=limits)
    expected = expected_addresses(local, steps, lambda _: False)
    for step, (own, other) in enumerate(zip(seen.addresses, expected, strict=True)):
        assert (own == other) == (step not in disturbed)
    # In the second epoch it is there again.
    half = len(steps) // 2
    assert any(served[a.item].key == late.key for row in seen.addresses[half:] for a in row)
    record_property("fault", f"a store that is mute for {num_mute} x {_DEADLINE_S:g} s")
    record_property("planted", num_mute)
    record_property("result", f"{len(failures)} visits lost, no item")


def test_the_failure_budget_ends_a_run(
    bad_catalog: Catalog,
    tiny_config: Callable[..., RunConfig],
    tmp_path: Path,
    record_property: Record,
) -> None:
    """12 ways in 120 items, 8 of which fail: over 2 of 100, and the run says of what and why."""
    config = tiny_config(num_steps=60)
    data = config.data.model_copy(
        update={"catalog": str(bad_catalog.path), "split": None, "max_failure_share": 0.02}
    )
    config = config.model_copy(update={"data": data})
    said = r"\d+ of \d+ items failed, more than data\.max_failure_share=0\.02; the last: .*: .*"
    with pytest.raises(FailureBudgetExceeded, match=said):
        pretrain(config, tmp_path / "run", open_stream=partial(ray_stream, num_actors=2))
    fails = {damage.name for damage in DAMAGES if damage.fate == "fails"}
    listed = {entry.key for entry in read_quarantine(tmp_path / "run")}
    assert len(listed) >= 3
    assert listed <= fails
    record_property("fault", "more bad items than the failure budget")
    record_property("planted", len(fails))
    record_property("result", "the run stops with one line; its quarantine lists them")
