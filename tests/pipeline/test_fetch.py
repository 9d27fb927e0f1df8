"""Fetching ahead: an item's own bytes whoever asks and in which order, long reads, a kept budget.

Shards are real tar files, read through a file system that notes every range that it was asked for;
Python's tarfile says what the members are.
"""

import random
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ShardError
from avrep.media import shards
from avrep.pipeline.fetch import Fetcher, close
from avrep.pipeline.plan import Plan, Sweep, Visit, block_rows, substitute, visits
from avrep.pipeline.shuffle import ShuffleConfig

from .noted_shards import ITEM_BYTES, Corpus, NotedFiles, truth, write_corpus

AMPLE = 2**30
# What may be on its way besides whole blocks: the items that are asked for ahead.
ITEMS_AHEAD = 8


@pytest.fixture(autouse=True)
def noted() -> Iterator[list[tuple[str, int, int]]]:
    fsspec.register_implementation("noted", NotedFiles, clobber=True)
    NotedFiles.ranges.clear()
    yield NotedFiles.ranges
    NotedFiles.gate = None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("shards"), num_items=240, per_shard=50)


def make_plan(
    corpus: Corpus, *, batch: int = 16, block_items: int = 8, window_blocks: int = 5
) -> Plan:
    return Plan(
        seed=4,
        rows=np.arange(len(corpus.catalog)),
        global_batch=batch,
        shuffle=ShuffleConfig(block_items=block_items, window_blocks=window_blocks),
    )


def take_as_a_reader(fetcher: Fetcher, part: Sequence[Visit]) -> list[bytes]:
    taken = []
    for number, visit in enumerate(part):
        fetcher.ask_ahead(part[number:])
        data = fetcher.take(visit)
        assert isinstance(data, bytes)
        taken.append(data)
    return taken


@given(
    block_items=st.integers(1, 20),
    window_blocks=st.integers(1, 8),
    batch=st.sampled_from([1, 4, 12, 32]),
    budget=st.integers(0, 80) | st.just(AMPLE // ITEM_BYTES),
    num_readers=st.integers(1, 3),
    first_step=st.integers(0, 70),
)
@settings(max_examples=25, deadline=None)
def test_everyone_gets_an_items_own_bytes(
    corpus: Corpus,
    block_items: int,
    window_blocks: int,
    batch: int,
    budget: int,
    num_readers: int,
    first_step: int,
) -> None:
    """Blocks across shards and round the catalogue's end, windows and epochs in one step's reach."""
    plan = make_plan(corpus, batch=batch, block_items=block_items, window_blocks=window_blocks)
    readers = [Fetcher(corpus.catalog, plan, budget * ITEM_BYTES) for _ in range(num_readers)]
    for step in range(first_step, first_step + 8):
        planned = visits(plan, step)
        cuts = np.linspace(0, batch, num_readers + 1).astype(int)
        for reader, first, last in zip(readers, cuts[:-1], cuts[1:], strict=True):
            part = planned[first:last]
            assert take_as_a_reader(reader, part) == truth(corpus, part)
    for reader in readers:
        reader.close()


def test_with_room_each_block_is_one_request_and_no_byte_comes_twice(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    # Some steps straddle two windows.
    plan = make_plan(corpus, batch=24)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    for step in range(plan.steps_per_epoch):
        take_as_a_reader(reader, visits(plan, step))
    reader.close()
    blocks = [corpus.catalog.items(block_rows(plan, 0, block)) for block in range(30)]
    wanted = []
    for items in blocks:
        for shard in {item.shard for item in items}:
            offsets = [(i.offset_bytes, i.length_bytes) for i in items if i.shard == shard]
            # Round the end of the catalogue a block is in two places of it.
            runs = np.split(
                np.array(sorted(offsets)),
                np.flatnonzero(np.diff(sorted(o for o, _ in offsets)) > 2 * ITEM_BYTES + 2048) + 1,
            )
            wanted += [(shard, int(r[0, 0]), int(r[-1].sum())) for r in runs]
    assert sorted((Path(path).name, a, b) for path, a, b in noted) == sorted(wanted)
    assert len(noted) < 40 < 240


def test_without_room_each_item_is_one_request(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    plan = make_plan(corpus)
    reader = Fetcher(corpus.catalog, plan, 0)
    for step in range(plan.steps_per_epoch):
        take_as_a_reader(reader, visits(plan, step))
    reader.close()
    assert len(noted) == len(set(noted)) == 240
    assert all(end - start <= ITEM_BYTES for _, start, end in noted)


@given(budget=st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_what_is_held_keeps_to_the_budget(corpus: Corpus, budget: int) -> None:
    """Seen from outside: bytes of items that were read and that nobody has been given yet."""
    plan = make_plan(corpus, block_items=6, window_blocks=12)
    reader = Fetcher(corpus.catalog, plan, budget * ITEM_BYTES)
    NotedFiles.ranges.clear()
    num_read = num_taken = num_noted = most = 0
    for step in range(plan.steps_per_epoch):
        part = visits(plan, step)
        for number, visit in enumerate(part):
            reader.ask_ahead(part[number:])
            data = reader.take(visit)
            assert isinstance(data, bytes)
            new = NotedFiles.ranges[num_noted:]
            num_noted += len(new)
            num_read += sum(_item_bytes(*noted) for noted in new)
            num_taken += len(data)
            most = max(most, num_read - num_taken)
    reader.close()
    assert most <= (budget + ITEMS_AHEAD) * ITEM_BYTES
    assert budget < 6 or most > 4 * ITEM_BYTES


def _item_bytes(_path: str, start: int, end: int) -> int:
    """Of the items in a range; about, since a tar has a header of 512 bytes before each, and pads."""
    return (end - start) * ITEM_BYTES // (ITEM_BYTES + 512)


def test_reading_stays_long_window_after_window(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    """What another reader took must not fill the budget for good."""
    plan = make_plan(corpus, batch=8, block_items=8, window_blocks=5)
    # Room for the half of a window that is this reader's, and as much again.
    reader = Fetcher(corpus.catalog, plan, 40 * ITEM_BYTES)
    per_window: list[int] = []
    for step in range(60):
        take_as_a_reader(reader, visits(plan, step)[:4])
        if step % 5 == 4:
            per_window.append(len(noted))
            noted.clear()
    reader.close()
    assert sum(per_window[9:]) <= sum(per_window[:3]) * 1.2
    assert max(per_window) <= 14


def test_what_a_window_left_makes_room_for_the_next(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    """A reader of half of every step, with room for one window: five blocks a window."""
    plan = make_plan(corpus, batch=8, block_items=8, window_blocks=5)
    reader = Fetcher(corpus.catalog, plan, 40 * ITEM_BYTES)
    for step in range(30):
        take_as_a_reader(reader, visits(plan, step)[::2])
        if step % 5 == 4:
            # Two more where a block reaches into another shard, or round the catalogue's end.
            assert len(noted) <= 7
            noted.clear()
    reader.close()


def test_four_reads_are_on_their_way_before_the_first_is_taken(corpus: Corpus) -> None:
    """None of four reads ends before all have begun."""
    NotedFiles.gate = threading.Barrier(4)
    plan = make_plan(corpus, batch=8)
    reader = Fetcher(corpus.catalog, plan, 0)
    part = visits(plan, 0)
    reader.ask_ahead(part)
    assert [reader.take(visit) for visit in part] == truth(corpus, part)
    assert len(NotedFiles.ranges) == 8
    reader.close()


def test_no_more_items_are_asked_for_ahead_than_have_room(
    corpus: Corpus, noted: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(corpus, batch=32)
    part = visits(plan, 0)
    for most_bytes, expected in ((AMPLE, ITEMS_AHEAD), (3 * ITEM_BYTES, 3), (1, 0)):
        monkeypatch.setattr("avrep.pipeline.fetch._ITEMS_AHEAD_BYTES", most_bytes)
        noted.clear()
        reader = Fetcher(corpus.catalog, plan, 0)
        reader.ask_ahead(part)
        reader.ask_ahead(part)
        _wait_until(lambda expected=expected: len(noted) >= expected)
        reader.close()
        assert len(noted) == expected


def _wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.01)


def test_a_large_item_is_a_window_to_seek_in_and_its_block_is_not_read(
    corpus: Corpus, noted: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "WHOLE_READ_BYTES", ITEM_BYTES - 4)
    plan = make_plan(corpus, batch=24)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    part = visits(plan, 1)
    reader.ask_ahead(part)
    kinds = set()
    for visit, content in zip(part[:-4], truth(corpus, part), strict=False):
        source = reader.take(visit)
        kinds.add(isinstance(source, bytes))
        assert (source if isinstance(source, bytes) else source.read()) == content
        close(source)
        assert isinstance(source, bytes) or source.closed
    assert kinds == {True, False}
    assert all(end - start <= ITEM_BYTES for _, start, end in noted)
    # Windows that were asked for and never taken are closed with the reader.
    reader.ask_ahead(part[-4:])
    reader.close()


def test_bytes_that_do_not_come_in_time_are_the_stores_fault(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And come later, once the store answers; a window too, of whose reads some came already."""
    plan = make_plan(corpus, batch=24)
    visit, other = (replace(visit, block=None) for visit in visits(plan, 1)[:2])
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    NotedFiles.gate = threading.Event()
    with pytest.raises(ShardError, match=r"\.tar: its bytes did not come .* is the store up"):
        reader.take(visit, 0.1)
    NotedFiles.gate.set()
    assert [reader.take(visit, 10.0)] == truth(corpus, [visit])

    monkeypatch.setattr(shards, "WHOLE_READ_BYTES", 1)
    monkeypatch.setattr(shards, "_WINDOW_BLOCK_BYTES", 1_000)
    (content,) = truth(corpus, [other])
    window = reader.take(other, 0.3)
    assert not isinstance(window, bytes)
    assert window.read(1_500) == content[:1_500]
    NotedFiles.gate = threading.Event()
    signal.setitimer(signal.ITIMER_REAL, 5.0)
    try:
        with pytest.raises(ShardError, match="its bytes did not come"):
            window.read(1_000)
        # What was waited for the store is no time of the decoder.
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 4.9
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    NotedFiles.gate.set()
    # It had all its time.
    window.seek(2_500)
    with pytest.raises(ShardError, match="its bytes did not come"):
        window.read(10)
    close(window)
    window = reader.take(other, 10.0)
    assert not isinstance(window, bytes)
    assert window.read() == content
    close(window)
    reader.close()


def test_a_bad_item_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    """One overwritten after it was indexed; the last shard cut off within its last item."""
    corpus = write_corpus(tmp_path, num_items=24, per_shard=12, crc=True)
    bad, cut = corpus.catalog[5], corpus.catalog[23]
    with (tmp_path / bad.shard).open("r+b") as file:
        file.seek(bad.offset_bytes + 10)
        file.write(b"\0" * 50)
    with (tmp_path / cut.shard).open("r+b") as file:
        file.truncate(cut.offset_bytes + 100)
    plan = make_plan(corpus, batch=24, block_items=12)
    part = visits(plan, 0)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    failed: dict[int, str] = {}
    for number, visit in enumerate(part):
        reader.ask_ahead(part[number:])
        try:
            assert reader.take(visit) == truth(corpus, [visit])[0]
        except ShardError as error:
            failed[visit.address.item] = str(error)
    reader.close()
    assert sorted(failed) == [5, 23]
    assert bad.shard in failed[5]
    assert "was it changed since it was indexed" in failed[23]


def test_what_was_taken_can_be_taken_again(corpus: Corpus) -> None:
    """As when a part is made anew, whole windows later, by an actor that went on meanwhile."""
    plan = make_plan(corpus)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    order = list(range(10)) + random.Random(0).sample(range(10), 10)
    for step in order:
        part = visits(plan, step)
        assert take_as_a_reader(reader, part) == truth(corpus, part)
    reader.close()


def test_a_substitute_is_read_alone_and_leaves_the_planned_item_in_place(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    plan = make_plan(corpus)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    part = visits(plan, 0)
    reader.ask_ahead(part)
    reader.take(part[0])
    substitutes = [Visit(substitute(plan, part[0].address, n)) for n in range(1, 12)]
    # Some are of items that wait, read as part of a block.
    substitutes += [Visit(replace(visit.address, draw=1 << 20)) for visit in part[1:4]]
    noted.clear()
    assert [reader.take(visit) for visit in substitutes] == truth(corpus, substitutes)
    assert sum(end - start <= ITEM_BYTES for _, start, end in noted) == 14
    assert take_as_a_reader(reader, part[1:]) == truth(corpus, part[1:])
    reader.close()


def test_a_sweep_reads_each_item_alone_and_ahead(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    sweep = Sweep(seed=0, rows=np.arange(0, 60, 3), batch_size=10)
    reader = Fetcher(corpus.catalog, sweep, AMPLE)
    for step in range(sweep.num_steps):
        part = visits(sweep, step)
        assert take_as_a_reader(reader, part) == truth(corpus, part)
    reader.close()
    assert len(noted) == 20


def test_files_of_their_own_are_never_read_as_a_block(
    tmp_path: Path, noted: list[tuple[str, int, int]]
) -> None:
    corpus = write_corpus(tmp_path, num_items=24, per_shard=1)
    plan = make_plan(corpus, batch=8)
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    part = visits(plan, 0)
    assert take_as_a_reader(reader, part) == truth(corpus, part)
    reader.close()
    # A block of files would be all of its eight.
    assert len(noted) == 8


def test_closing_waits_for_what_is_on_its_way_and_leaves_no_thread(corpus: Corpus) -> None:
    plan = make_plan(corpus, batch=32)
    for budget in (0, AMPLE):
        reader = Fetcher(corpus.catalog, plan, budget)
        reader.ask_ahead(visits(plan, 0))
        reader.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("avrep-fetch")]


def test_closing_gives_up_what_has_not_begun(
    corpus: Corpus, noted: list[tuple[str, int, int]]
) -> None:
    NotedFiles.gate = gate = threading.Event()
    plan = make_plan(corpus, batch=16)
    reader = Fetcher(corpus.catalog, plan, 0)
    reader.ask_ahead(visits(plan, 0))
    _wait_until(lambda: len(noted) == 4)
    closing = threading.Thread(target=reader.close)
    closing.start()
    # It is closed for new reads at the moment in which it gives up the old ones.
    _wait_until(lambda: _is_closed(reader, visits(plan, 1)))
    gate.set()
    closing.join()
    assert len(noted) == 4


def _is_closed(reader: Fetcher, others: Sequence[Visit]) -> bool:
    try:
        reader.ask_ahead(others)
    except RuntimeError:
        return True
    return False


def test_memory_is_given_back_as_items_are_taken(tmp_path: Path) -> None:
    """720 kB an epoch; after it, nothing of it is left."""
    corpus = write_corpus(tmp_path, num_items=240, per_shard=120)
    plan = make_plan(corpus, batch=24, window_blocks=30)
    held = _held_by_step(corpus, plan, range(10, 20), share=1)
    assert max(held) > 400_000
    assert held[-1] < max(held) - 300_000


def test_memory_is_given_back_for_what_another_reader_took(tmp_path: Path) -> None:
    """Reading a third of each step and all of its blocks, for three epochs of ten windows."""
    corpus = write_corpus(tmp_path, num_items=240, per_shard=120)
    plan = make_plan(corpus, batch=24, block_items=8, window_blocks=3)
    held = _held_by_step(corpus, plan, range(10, 40), share=3)
    assert max(held[20:]) < max(held[:10]) + 50_000


def _held_by_step(corpus: Corpus, plan: Plan, steps: range, share: int) -> list[int]:
    """Bytes allocated after each step by a reader that takes one in `share` of its visits."""
    reader = Fetcher(corpus.catalog, plan, AMPLE)
    # Whatever is made once and kept is made before.
    take_as_a_reader(reader, visits(plan, steps[0] - 1))
    tracemalloc.start()
    held = []
    for step in steps:
        part = visits(plan, step)[::share]
        for number, visit in enumerate(part):
            reader.ask_ahead(part[number:])
            reader.take(visit)
        NotedFiles.ranges.clear()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    reader.close()
    return held
