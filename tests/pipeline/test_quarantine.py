"""The quarantine: survives being killed while it is written, and never changes what a stream reads.

The stream is simulated on a real plan, with items that always fail and stores that fail once, and
compared with a slow restatement that remembers nothing.
"""

import json
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.pipeline.plan import Plan, substitute, visits
from avrep.pipeline.quarantine import (
    KnownBad,
    QuarantineEntry,
    QuarantineWriter,
    read_quarantine,
    release,
)
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import Address, Failure


def make_failure(address: Address, stage: str = "open", key: str | None = None) -> Failure:
    return Failure(
        address=address,
        key=key or f"clips/{address.item}.mp4",
        stage=stage,
        reason="moov atom not found",
        error="MediaError",
        uri="s3://bucket/shard-000.tar",
        offset_bytes=512,
        length_bytes=1000,
        attempts=2,
        node="node-7",
    )


def make_entry(step: int, address: Address, stage: str = "open") -> QuarantineEntry:
    failure = make_failure(address, stage)
    return QuarantineEntry(
        step=step,
        epoch=address.epoch,
        item=address.item,
        draw=address.draw,
        key=failure.key,
        uri=failure.uri,
        offset_bytes=failure.offset_bytes,
        length_bytes=failure.length_bytes,
        stage=stage,
        error=failure.error,
        reason=failure.reason,
        attempts=failure.attempts,
        node=failure.node,
        time_utc="2026-01-05T09:12:00+00:00",
    )


# On disk.


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    QuarantineWriter(tmp_path, 3).add(7, [make_failure(Address(1, 5, 0))])
    (entry,) = read_quarantine(tmp_path)
    assert entry.time_utc.endswith("+00:00")
    assert entry.address == Address(1, 5, 0)
    fields = {name: getattr(entry, name) for name in QuarantineEntry.__slots__}
    expected = make_entry(7, Address(1, 5, 0))
    assert fields | {"time_utc": expected.time_utc} == {
        name: getattr(expected, name) for name in QuarantineEntry.__slots__
    }


def test_ranks_have_files_of_their_own_and_are_read_together_by_step(tmp_path: Path) -> None:
    for rank, step in ((1, 4), (0, 9), (2, 1)):
        QuarantineWriter(tmp_path, rank).add(step, [make_failure(Address(0, step))])
    names = sorted(path.name for path in (tmp_path / "quarantine").iterdir())
    assert names == ["rank-00000.jsonl", "rank-00001.jsonl", "rank-00002.jsonl"]
    assert [entry.step for entry in read_quarantine(tmp_path)] == [1, 4, 9]


def test_no_failure_no_file(tmp_path: Path) -> None:
    QuarantineWriter(tmp_path, 0).add(3, [])
    assert read_quarantine(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_lists_nothing_twice(tmp_path: Path) -> None:
    """Neither its own rank's failures nor those of a rank that is gone."""
    failures = [make_failure(Address(0, item)) for item in range(4)]
    for rank in (0, 1):
        QuarantineWriter(tmp_path, rank).add(5, failures[2 * rank : 2 * rank + 2])
    resumed = QuarantineWriter(tmp_path, 0)
    resumed.add(5, failures)
    resumed.add(6, [make_failure(Address(0, 9))])
    resumed.add(6, [make_failure(Address(0, 9))])
    assert [(e.step, e.item) for e in read_quarantine(tmp_path)] == [
        *((5, 0), (5, 1), (5, 2), (5, 3)),
        (6, 9),
    ]


@pytest.mark.parametrize("num_cut", [1, 2, 100])
def test_a_torn_last_line_is_passed_over_and_mended(tmp_path: Path, num_cut: int) -> None:
    QuarantineWriter(tmp_path, 0).add(1, [make_failure(Address(0, 1)), make_failure(Address(0, 2))])
    path = tmp_path / "quarantine" / "rank-00000.jsonl"
    path.write_bytes(path.read_bytes()[:-num_cut])
    assert [entry.item for entry in read_quarantine(tmp_path)] == [1]
    QuarantineWriter(tmp_path, 0).add(1, [make_failure(Address(0, 2)), make_failure(Address(0, 3))])
    assert [entry.item for entry in read_quarantine(tmp_path)] == [1, 2, 3]
    assert len(path.read_text().splitlines()) == 3


def test_every_line_is_on_the_disk_when_add_returns(tmp_path: Path) -> None:
    """Seen from another process, which is killed without a chance to flush anything."""
    code = f"""
import os, signal
from pathlib import Path
from avrep.pipeline.quarantine import QuarantineWriter
from avrep.types import Address, Failure
failure = Failure(address=Address(0, 1), key="a.mp4", stage="open", reason="no")
QuarantineWriter(Path({str(tmp_path)!r}), 0).add(1, [failure])
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(read_quarantine(tmp_path)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        '{"step": 1}',
        "x" * (1 << 20),
    ],
)
def test_a_damaged_line_is_named_and_can_be_cleared(tmp_path: Path, line: str) -> None:
    QuarantineWriter(tmp_path, 0).add(1, [make_failure(Address(0, 1))])
    path = tmp_path / "quarantine" / "rank-00000.jsonl"
    whole = path.read_text()
    path.write_text(f"{whole}{line}\n{whole}")
    for reader in (lambda: read_quarantine(tmp_path), lambda: release(tmp_path, ["clips/1.mp4"])):
        with pytest.raises(ConfigError, match=r"rank-00000.jsonl, line 2, .* --clear") as caught:
            reader()
        assert "\n" not in str(caught.value)
    assert release(tmp_path) == 1
    assert read_quarantine(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "value"), [("step", -1), ("item", 2**63), ("epoch", 1.5), ("draw", "1"), ("key", 7)]
)
def test_a_field_of_another_kind_is_refused(tmp_path: Path, field: str, value: object) -> None:
    QuarantineWriter(tmp_path, 0).add(1, [make_failure(Address(0, 1))])
    path = tmp_path / "quarantine" / "rank-00000.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}) + "\n")
    with pytest.raises(ConfigError, match="line 1"):
        read_quarantine(tmp_path)


@given(text=st.text(max_size=300))
@example(text="x\n" * 5000)
@settings(max_examples=50, deadline=None)
def test_any_text_is_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    run = tmp_path_factory.mktemp("run")
    failure = make_failure(Address(0, 1), key=f"k{text}")
    odd = Failure(address=failure.address, key=failure.key, stage="open", reason=f"{text}\ud800")
    QuarantineWriter(run, 0).add(1, [odd])
    lines = (run / "quarantine" / "rank-00000.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 2
    assert lines[1] == b""
    (record,) = [json.loads(line) for line in lines[:1]]
    assert record["key"] == failure.key
    assert record["reason"] == f"{text}\ud800"[:1000]


def test_released_entries_are_gone_and_others_stay_as_they_were(tmp_path: Path) -> None:
    for rank in (0, 1):
        items = (rank, rank + 10, 5)
        failures = [make_failure(Address(0, item)) for item in items]
        QuarantineWriter(tmp_path, rank).add(rank, failures)
    before = {entry.item: entry for entry in read_quarantine(tmp_path)}
    assert release(tmp_path, {"clips/5.mp4", "clips/11.mp4", "nothing"}) == 2
    after = read_quarantine(tmp_path)
    assert [entry.item for entry in after] == [0, 10, 1]
    assert all(before[entry.item] == entry for entry in after)
    assert release(tmp_path, ["clips/0.mp4", "clips/10.mp4"]) == 2
    names = [path.name for path in (tmp_path / "quarantine").iterdir()]
    assert names == ["rank-00001.jsonl"]
    assert release(tmp_path) == 1
    assert release(tmp_path) == 0


def test_a_released_item_that_fails_again_is_listed_again(tmp_path: Path) -> None:
    writer = QuarantineWriter(tmp_path, 0)
    writer.add(1, [make_failure(Address(0, 1))])
    release(tmp_path)
    QuarantineWriter(tmp_path, 0).add(1, [make_failure(Address(0, 1))])
    writer.add(2, [make_failure(Address(0, 2))])
    assert [entry.item for entry in read_quarantine(tmp_path)] == [1, 2]


# In memory.


def test_a_bad_item_is_excluded_from_its_step_on_a_read_failure_there_only() -> None:
    known = KnownBad([make_entry(5, Address(0, 7)), make_entry(5, Address(0, 8, 3), "read")])
    assert [known.excludes(Address(0, 7), step) for step in (4, 5, 6)] == [False, True, True]
    assert known.excludes(Address(3, 7, 9), 500)
    assert known.excludes(Address(0, 8, 3), 5)
    for other in (Address(0, 8, 2), Address(1, 8, 3), Address(0, 9, 3)):
        assert not known.excludes(other, 5)
    assert not known.excludes(Address(0, 8, 3), 6)
    assert not KnownBad().excludes(Address(0, 0), 0)


def test_the_earliest_step_counts_in_whatever_order_they_come() -> None:
    for steps in ((3, 9), (9, 3)):
        known = KnownBad(make_entry(step, Address(0, 1)) for step in steps)
        assert [known.excludes(Address(0, 1), step) for step in (2, 3)] == [False, True]
        admitted = KnownBad([make_entry(steps[0], Address(0, 1))])
        admitted.admit(make_failure(Address(4, 1)), steps[1])
        assert [admitted.excludes(Address(0, 1), step) for step in (2, 3)] == [False, True]


def test_a_copy_is_independent() -> None:
    known = KnownBad([make_entry(0, Address(0, 1))])
    twin = known.copy()
    twin.admit(make_failure(Address(0, 2)), 0)
    known.admit(make_failure(Address(0, 3), "read"), 0)
    assert [twin.excludes(Address(0, item), 0) for item in (1, 2, 3)] == [True, True, False]
    assert [known.excludes(Address(0, item), 0) for item in (1, 2, 3)] == [True, False, True]


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.builds(Address, st.integers(0, 2), st.integers(0, 9), st.integers(0, 2)),
        st.sampled_from(["open", "crash", "read"]),
    ),
    max_size=40,
)


@given(listed=_EVENTS, admitted=_EVENTS, merge_after=st.sampled_from([1, 3, 4096]))
@settings(max_examples=100, deadline=None)
def test_it_answers_as_a_plain_list_would(
    listed: list[tuple[int, Address, str]],
    admitted: list[tuple[int, Address, str]],
    merge_after: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avrep.pipeline.quarantine._MERGE_AFTER", merge_after)
        known = KnownBad(make_entry(*event) for event in listed)
        for step, address, stage in admitted:
            known.admit(make_failure(address, stage), step)
    known = pickle.loads(pickle.dumps(known))
    for step in range(8):
        for item in range(10):
            for address in (Address(0, item), Address(1, item, 2)):
                assert known.excludes(address, step) == any(
                    (bad.item == item and at <= step)
                    if stage != "read"
                    else (bad == address and at == step)
                    for at, bad, stage in (*listed, *admitted)
                )


def test_many_entries_are_small() -> None:
    known = KnownBad()
    num_entries = 300_000
    for item in range(0, num_entries, 2):
        known.admit(make_failure(Address(0, item), key="k"), item)
    for step in range(1, num_entries, 2):
        known.admit(make_failure(Address(1, step, 1), "read", key="k"), step)
    assert len(pickle.dumps(known)) < 40 * num_entries
    assert known.excludes(Address(9, 150_000), 150_000)
    assert not known.excludes(Address(9, 150_000), 149_999)
    assert known.excludes(Address(1, 299_999, 1), 299_999)
    assert not known.excludes(Address(1, 299_999, 1), 299_997)


# What the stream reads.


class FakeCorpus:
    """Items that fail always, and addresses that could not be fetched the first time."""

    def __init__(self, bad_items: Iterable[int], unlucky: Iterable[Address]) -> None:
        self.bad_items = frozenset(bad_items)
        self.unlucky = set(unlucky)

    def stage(self, address: Address) -> str | None:
        if address.item in self.bad_items:
            return "open"
        if address in self.unlucky:
            self.unlucky.remove(address)
            return "read"
        return None


def read_steps(
    plan: Plan,
    corpus: FakeCorpus,
    known: KnownBad,
    steps: Iterable[int],
    ahead: int = 0,
) -> tuple[dict[int, list[Address]], list[QuarantineEntry]]:
    """What reaches the trainer, and what is listed; failures are known `ahead` steps late."""
    used: dict[int, list[Address]] = {}
    listed: list[QuarantineEntry] = []
    late: list[tuple[int, Failure]] = []
    for step in steps:
        for visit in visits(plan, step):
            for attempt in range(100):
                address = substitute(plan, visit.address, attempt)
                if known.excludes(address, step):
                    continue
                stage = corpus.stage(address)
                if stage is None:
                    used.setdefault(step, []).append(address)
                    break
                listed.append(make_entry(step, address, stage))
                late.append((step, make_failure(address, stage)))
        while late and late[0][0] <= step - ahead:
            known.admit(late[0][1], late[0][0])
            late.pop(0)
    return used, listed


@given(
    seed=st.integers(0, 1000),
    num_bad=st.integers(0, 12),
    num_unlucky=st.integers(0, 30),
    resume_at=st.integers(0, 19),
    killed_at=st.integers(0, 20),
    ahead=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_the_stream_is_the_same_whatever_was_known_beforehand(
    seed: int, num_bad: int, num_unlucky: int, resume_at: int, killed_at: int, ahead: int
) -> None:
    plan = Plan(
        seed=seed,
        rows=np.arange(24),
        global_batch=5,
        shuffle=ShuffleConfig(block_items=3, window_blocks=2),
    )
    rng = np.random.default_rng(seed)
    bad = rng.choice(24, num_bad, replace=False).tolist()
    planned = [v.address for step in range(20) for v in visits(plan, step)]
    unlucky = [planned[i] for i in rng.choice(len(planned), num_unlucky)]
    # Substitutes too, but none that could stand in for two visits.
    stand_ins = Counter(substitute(plan, a, attempt) for a in planned for attempt in range(1, 6))
    firsts = (substitute(plan, address, 1) for address in unlucky)
    unlucky += [address for address in firsts if stand_ins[address] == 1]

    corpus = FakeCorpus(bad, unlucky)
    first, listed = read_steps(plan, corpus, KnownBad(), range(max(resume_at, killed_at)), ahead)
    # Killed, and resumed from an earlier checkpoint with everything that was listed.
    known = KnownBad(listed)
    again, more = read_steps(plan, corpus, known, range(resume_at, 20), ahead)
    for step in range(resume_at, max(resume_at, killed_at)):
        assert again[step] == first[step]
    whole = {step: first[step] for step in range(resume_at)} | again
    # A third run, which knows all of it from the beginning.
    everything = KnownBad([*listed, *more])
    assert read_steps(plan, FakeCorpus(bad, ()), everything, range(20))[0] == whole
    # One that is told nothing, and meets the same misfortunes.
    told_nothing, _ = read_steps(plan, FakeCorpus(bad, unlucky), KnownBad(), range(20), ahead)
    assert told_nothing == whole
    assert not {a.item for step in whole for a in whole[step]} & set(bad)
