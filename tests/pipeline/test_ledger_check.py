"""The check of a ledger: finds each planted fault, counts it once, and nothing in a good run.

What it counts is compared with a slow restatement that goes through the rows one by one.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import avrep.pipeline.ledger_check as ledger_check_module
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pipeline.ledger import SCHEMA, ledger_files
from avrep.pipeline.ledger_check import check_ledger
from avrep.pipeline.ledger_report import LedgerReport
from avrep.pipeline.plan import Plan, addresses, substitute
from avrep.types import Address, RowNumbers

from .ledger_run import make_catalog, make_plan, write_ledger

NUM_ITEMS = 60
PLAN = make_plan(NUM_ITEMS, 4)  # 30 usable items: 7 steps an epoch.
BAD = frozenset({6, 20, 34})
# Started three times, with other numbers of ranks, once from an earlier checkpoint.
PARTS = [(0, 10, 1), (8, 15, 4), (15, 24, 2)]
STEPS = 24

Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return make_catalog(tmp_path_factory.mktemp("catalog"), NUM_ITEMS)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A whole run."""
    write_ledger(tmp_path, PLAN, PARTS, bad=BAD)
    return tmp_path


def counts(report: LedgerReport) -> tuple[int, int, int, int]:
    """Missing, doubled, wrong, out of place."""
    return (
        report.num_missing,
        report.num_doubled,
        report.num_wrong,
        report.num_out_of_place,
    )


def edit(run: Path, step: int, rank: int, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the rows of the file that has a step of a rank."""
    (file,) = (f for f in ledger_files(run) if f.first_step <= step < f.end_step and f.rank == rank)
    rows = change(pq.read_table(file.path).to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file.path)


def change_one(step: int, place: int, changes: Row) -> Callable[[list[Row]], list[Row]]:
    def change(rows: list[Row]) -> list[Row]:
        (row,) = (row for row in rows if (row["step"], row["place"]) == (step, place))
        row.update(changes)
        return rows

    return change


def test_a_whole_run_of_several_world_sizes(run: Path, catalog: Catalog) -> None:
    report = check_ledger(run, PLAN, catalog, num_steps=STEPS)
    assert counts(report) == (0, 0, 0, 0)
    assert report.is_whole
    assert report.faults == ()
    assert report.num_steps == STEPS
    assert report.num_items == STEPS * 4
    planned = [a for step in range(STEPS) for a in addresses(PLAN, step)]
    assert report.num_substitutes == sum(a.item in BAD for a in planned) > 0


def test_several_draws_of_a_visit(tmp_path: Path, catalog: Catalog) -> None:
    plan = make_plan(NUM_ITEMS, 12, draws_per_visit=3)
    write_ledger(tmp_path, plan, [(0, 9, 4), (9, 13, 2)], bad=BAD)
    report = check_ledger(tmp_path, plan, catalog)
    assert report.is_whole
    assert report.num_items == 13 * 12
    assert report.num_substitutes % 3 == 0 < report.num_substitutes


@pytest.mark.parametrize("seed", [4, 6])
def test_another_plan_is_another_ledger(run: Path, catalog: Catalog, seed: int) -> None:
    report = check_ledger(run, make_plan(NUM_ITEMS, 4, seed=seed), catalog)
    assert report.num_wrong + report.num_out_of_place > 60


def test_missing_rows_files_and_steps(run: Path, catalog: Catalog) -> None:
    edit(run, 9, 1, lambda rows: rows[1:])
    assert counts(check_ledger(run, PLAN, catalog)) == (1, 0, 0, 0)
    # The whole interval [16, 20) of one rank of two.
    next(f for f in ledger_files(run) if f.first_step == 16 and f.rank == 0).path.unlink()
    report = check_ledger(run, PLAN, catalog)
    assert counts(report) == (1 + 4 * 2, 0, 0, 0)
    # The interval [4, 8), of one rank, and two steps after the end.
    next(f for f in ledger_files(run) if f.first_step == 4).path.unlink()
    report = check_ledger(run, PLAN, catalog, num_steps=26)
    assert counts(report) == (1 + 4 * 2 + 4 * 4 + 2 * 4, 0, 0, 0)
    assert report.num_steps == 26
    assert [(fault.step, fault.place) for fault in report.faults] == [(4, 0), (8, 1), (16, 0)]
    assert report.faults[0].found == "no file has steps 4 to 7"


def test_doubled_rows(run: Path, catalog: Catalog) -> None:
    edit(run, 2, 0, lambda rows: [*rows[:6], rows[5], *rows[6:]])
    report = check_ledger(run, PLAN, catalog)
    assert counts(report) == (0, 1, 0, 0)
    (fault,) = report.faults
    assert (fault.kind, fault.step, fault.place) == ("doubled", 1, 1)


def test_an_interval_written_twice(run: Path, catalog: Catalog) -> None:
    """As when a run had been resumed at step 6 without its ledger being cut."""
    file = next(f for f in ledger_files(run) if f.first_step == 4)
    rows = [row for row in pq.read_table(file.path).to_pylist() if row["step"] >= 6]
    again = file.path.with_name("step-00000006-00000008.rank-00000.parquet")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), again)
    assert counts(check_ledger(run, PLAN, catalog)) == (0, 8, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"item": 1},  # Not an item of the plan.
        {"item": NUM_ITEMS},
        {"item": -1},
        {"draw": 1},
        {"draw": (1 << 20) + 1, "is_substitute": True},
        {"epoch": 5},
        {"key": "clips/other.mp4"},
        {"is_substitute": True},
    ],
)
def test_wrong_rows(run: Path, catalog: Catalog, changes: Row) -> None:
    good = next(s for s in range(3) if not any(a.item in BAD for a in addresses(PLAN, s)))
    if "item" in changes and changes["item"] == 1:
        changes = {**changes, "key": "clips/0001.mp4"}
    edit(run, good, 0, change_one(good, 2, changes))
    report = check_ledger(run, PLAN, catalog)
    assert counts(report) == (0, 0, 1, 0)
    (fault,) = report.faults
    assert (fault.kind, fault.step, fault.place) == ("wrong", good, 2)


@pytest.mark.parametrize("changes", [{"place": 4}, {"place": -1}, {"step": 100}, {"step": 15}])
def test_a_place_that_is_not_there(run: Path, catalog: Catalog, changes: Row) -> None:
    """The planned item, elsewhere; its own place is empty."""
    good = next(s for s in range(3) if not any(a.item in BAD for a in addresses(PLAN, s)))
    edit(run, good, 0, change_one(good, 2, changes))
    assert counts(check_ledger(run, PLAN, catalog)) == (1, 0, 0, 1)


def test_the_substitute_of_another_item_is_wrong(run: Path, catalog: Catalog) -> None:
    planned, other = addresses(PLAN, 1)[2], addresses(PLAN, 4)[0]
    for address, is_right in (
        (substitute(PLAN, planned, 4), True),
        (substitute(PLAN, other, 1), False),
    ):
        row = {
            "item": address.item,
            "draw": address.draw,
            "key": catalog[address.item].key,
            "is_substitute": True,
        }
        edit(run, 1, 0, change_one(1, 2, row))
        assert check_ledger(run, PLAN, catalog).is_whole == is_right


def test_items_that_changed_places(run: Path, catalog: Catalog) -> None:
    def swap(rows: list[Row]) -> list[Row]:
        """Two places of one step, and one place of two steps."""
        by_place = {(row["step"], row["place"]): row for row in rows}
        for a, b in (((0, 0), (0, 1)), ((2, 3), (3, 3))):
            for name in ("epoch", "item", "draw", "key", "is_substitute"):
                one, other = by_place[a], by_place[b]
                one[name], other[name] = other[name], one[name]
        return rows

    write_ledger(run, PLAN, [(0, 8, 1)])
    edit(run, 0, 0, swap)
    assert counts(check_ledger(run, PLAN, catalog)) == (0, 0, 0, 4)


def test_steps_that_came_in_another_order(run: Path, catalog: Catalog) -> None:
    def step_2_before_step_1(rows: list[Row]) -> list[Row]:
        return rows[:4] + rows[8:12] + rows[4:8] + rows[12:]

    edit(run, 0, 0, step_2_before_step_1)
    report = check_ledger(run, PLAN, catalog)
    assert counts(report) == (0, 0, 0, 4)
    assert {fault.step for fault in report.faults} == {1}


def test_places_of_another_rank(run: Path, catalog: Catalog) -> None:
    """Two ranks of four that had each other's part of steps 8 to 11; one row that says so itself."""
    folder = run / "ledger"
    one, other = (folder / f"step-00000008-00000012.rank-0000{r}.parquet" for r in (1, 2))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    assert counts(check_ledger(run, PLAN, catalog)) == (0, 0, 0, 8)
    edit(run, 20, 0, change_one(20, 1, {"rank": 1}))
    assert counts(check_ledger(run, PLAN, catalog)) == (0, 0, 0, 9)


def test_a_plan_that_repeats_itself_is_told_of(
    run: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeating(plan: Plan, steps: range) -> list[tuple[int, RowNumbers]]:
        return [(0, np.zeros((len(steps), plan.visits_per_step), np.int64))]

    monkeypatch.setattr(ledger_check_module, "planned_rows", repeating)
    report = check_ledger(run, PLAN, catalog)
    assert report.num_doubled >= STEPS * 4 - 1
    assert "visits" in report.faults[0].found


@pytest.mark.parametrize("fault", ["flipped", "truncated", "no footer", "empty"])
def test_a_damaged_file_is_named(run: Path, catalog: Catalog, fault: str) -> None:
    path = ledger_files(run)[1].path
    content = bytearray(path.read_bytes())
    if fault == "flipped":
        # A bit of the compressed items, found by their column's place.
        items = pq.ParquetFile(path).metadata.row_group(0).column(4)
        content[items.data_page_offset + items.total_compressed_size // 2] ^= 1
    else:
        del content[{"truncated": len(content) // 2, "no footer": -8, "empty": 0}[fault] :]
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path.name} is damaged") as caught:
        check_ledger(run, PLAN, catalog)
    assert "\n" not in str(caught.value)


def test_what_is_no_ledger_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match=r"has no ledger; train with --set data\.ledger=true"):
        check_ledger(tmp_path, PLAN, catalog)
    folder = tmp_path / "ledger"
    folder.mkdir()
    path = folder / "step-00000000-00000004.rank-00000.parquet"
    pq.write_table(pa.table({"step": [1]}), path)
    with pytest.raises(ConfigError, match="does not have a ledger's columns"):
        check_ledger(tmp_path, PLAN, catalog)
    path.unlink()
    vast = folder / "step-00000000-900000000000000000.rank-00000.parquet"
    pq.write_table(SCHEMA.empty_table(), vast)
    with pytest.raises(ConfigError, match="have 0 rows in all, which no run writes"):
        check_ledger(tmp_path, PLAN, catalog)


def test_progress_ends_at_the_last_step(run: Path, catalog: Catalog) -> None:
    told: list[tuple[int, int]] = []
    check_ledger(run, PLAN, catalog, progress=lambda done, end: told.append((done, end)))
    assert told == [(4, 24), (8, 24), (12, 24), (15, 24), (16, 24), (20, 24), (24, 24)]


# Against a slow restatement.

_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "double", "item", "draw", "place", "step", "key", "rank", "move"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
    ),
    max_size=8,
)


@given(edits=_EDITS, bad=st.sets(st.integers(0, NUM_ITEMS - 1), max_size=10))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_counts_equal_a_slow_restatement(
    tmp_path_factory: pytest.TempPathFactory,
    catalog: Catalog,
    edits: list[tuple[str, int, int]],
    bad: set[int],
) -> None:
    run = tmp_path_factory.mktemp("run")
    write_ledger(run, PLAN, [(0, 12, 2)], every=12, bad=bad)
    files = {file.rank: file.path for file in ledger_files(run)}
    rows = {rank: pq.read_table(path).to_pylist() for rank, path in files.items()}
    for what, a, b in edits:
        of_rank = rows[a % 2]
        damage(of_rank, what, a % len(of_rank), b)
    for rank, path in files.items():
        pq.write_table(pa.Table.from_pylist(rows[rank], SCHEMA), path, row_group_size=7)
    report = check_ledger(run, PLAN, catalog)
    expected = slow_counts(rows, catalog, 12)
    assert counts(report) == (
        expected["missing"],
        expected["doubled"],
        expected["wrong"],
        expected["out of place"],
    )
    assert report.num_items == sum(map(len, rows.values()))


def damage(rows: list[Row], what: str, at: int, number: int) -> None:
    match what:
        case "drop":
            del rows[at]
        case "double":
            rows.insert(number % len(rows), dict(rows[at]))
        case "move":
            rows.insert(number % len(rows), rows.pop(at))
        case "key":
            rows[at]["key"] = f"clips/{number % NUM_ITEMS:04d}.mp4"
        case "item":
            rows[at]["item"] = number % (NUM_ITEMS + 2)
            rows[at]["key"] = f"clips/{rows[at]['item']:04d}.mp4"
        case "draw":
            rows[at]["draw"] = number % 3
            rows[at]["is_substitute"] = False
        case "place":
            rows[at]["place"] = number % 6 - 1
        case "step":
            rows[at]["step"] = number % 14 - 1
        case "rank":
            rows[at]["rank"] = number % 3


def slow_counts(rows: dict[int, list[Row]], catalog: Catalog, num_steps: int) -> Counter[str]:
    """One kind for each row, from two ranks' files of the same steps."""
    planned = {
        (step, place): address
        for step in range(num_steps)
        for place, address in enumerate(addresses(PLAN, step))
    }
    found: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    for rank, of_rank in sorted(rows.items()):
        furthest = (-1, -1)
        sizes = Counter(Counter(row["step"] for row in of_rank).values())
        usual = min(size for size, count in sizes.items() if count == max(sizes.values()))
        for row in of_rank:
            place = (row["step"], row["place"])
            address = Address(row["epoch"], row["item"], row["draw"])
            is_late = place < furthest
            known = 0 <= address.item < len(catalog) and (
                catalog[address.item].key == row["key"]
                and row["is_substitute"] == (address.draw >= 1 << 20)
            )
            wanted = planned.get(place)
            right = wanted is not None and (
                address == wanted
                or any(address == substitute(PLAN, wanted, k) for k in range(1, 16))
            )
            if wanted is not None and place in seen:
                found["doubled"] += 1
            elif known and right:
                if is_late or row["rank"] != rank or row["place"] // usual != rank:
                    found["out of place"] += 1
            elif known and address in planned.values():
                found["out of place"] += 1
            else:
                found["wrong"] += 1
            if wanted is not None:
                seen.add(place)
                furthest = max(furthest, place)
    found["missing"] = len(planned.keys() - seen)
    return found


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    """As a run of 2,000 steps of 512 items on a million items writes it, with one row changed."""
    catalog = make_catalog(tmp_path, 1_000_000)
    plan = Plan(seed=1, rows=np.arange(1_000_000), global_batch=512)
    write_ledger(tmp_path, plan, [(0, 2000, 2)], every=500)
    assert check_ledger(tmp_path, plan, catalog).is_whole
    edit(tmp_path, 1999, 1, change_one(1999, 500, {"draw": 1}))
    assert counts(check_ledger(tmp_path, plan, catalog)) == (0, 0, 1, 0)
