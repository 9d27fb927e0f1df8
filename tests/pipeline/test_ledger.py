"""The ledger's files: whole or not there, and never of steps that a resumed run takes again."""

import errno
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from avrep.errors import ConfigError
from avrep.pipeline.ledger import SCHEMA, LedgerWriter, ledger_files
from avrep.pipeline.plan import is_substitute

from .ledger_run import make_batch, make_plan, write_ledger

PLAN = make_plan(40, 4)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "ledger").iterdir())


def steps_in(run: Path) -> list[int]:
    return sorted(
        step
        for file in ledger_files(run)
        for step in set(pq.read_table(file.path)["step"].to_pylist())
    )


def test_rows_are_what_the_batches_held(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, 1, 0)
    bad = {PLAN.rows[0], PLAN.rows[3]}
    batches = [make_batch(PLAN, step, 1, 2, bad) for step in range(5)]
    for batch in batches:
        writer.add(batch, place=2)
    assert not (tmp_path / "ledger").exists()
    writer.flush()
    assert names(tmp_path) == ["step-00000000-00000005.rank-00001.parquet"]
    (file,) = ledger_files(tmp_path)
    table = pq.read_table(file.path)
    assert table.schema.equals(SCHEMA)
    assert pq.ParquetFile(file.path).metadata.row_group(0).column(6).compression == "ZSTD"
    expected = [
        {
            "step": batch.step,
            "place": 2 + row,
            "rank": 1,
            "epoch": address.epoch,
            "item": address.item,
            "draw": address.draw,
            "key": f"clips/{address.item:04d}.mp4",
            "is_substitute": is_substitute(address),
        }
        for batch in batches
        for row, address in enumerate(batch.addresses)
    ]
    assert table.to_pylist() == expected
    assert any(row["is_substitute"] for row in expected)


def test_files_follow_on_one_another(tmp_path: Path) -> None:
    write_ledger(tmp_path, PLAN, [(0, 6, 2)], every=4)
    assert names(tmp_path) == [
        f"step-{first:08d}-{end:08d}.rank-0000{rank}.parquet"
        for first, end in ((0, 4), (4, 6))
        for rank in (0, 1)
    ]
    assert [(f.first_step, f.end_step, f.rank) for f in ledger_files(tmp_path)] == [
        *((0, 4, 0), (0, 4, 1)),
        *((4, 6, 0), (4, 6, 1)),
    ]


def test_nothing_added_nothing_written(tmp_path: Path) -> None:
    LedgerWriter(tmp_path, 0, 0).flush()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_what_its_checkpoints_say(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, 0, 0)
    for step in range(6):
        writer.add(make_batch(PLAN, step), place=0)
        if step == 3:
            writer.flush()
    del writer  # Steps 4 and 5 were in memory.
    write_ledger(tmp_path, PLAN, [(4, 8, 1)])
    assert steps_in(tmp_path) == list(range(8))


@pytest.mark.parametrize(
    ("resumed_at", "kept"),
    [
        (12, ["00000000-00000004", "00000004-00000008", "00000008-00000010"]),
        (10, ["00000000-00000004", "00000004-00000008", "00000008-00000010"]),
        (9, ["00000000-00000004", "00000004-00000008", "00000008-00000009"]),
        (8, ["00000000-00000004", "00000004-00000008"]),
        (2, ["00000000-00000002"]),
        (0, []),
    ],
)
def test_a_resumed_run_cuts_what_it_takes_again_of_all_ranks(
    tmp_path: Path, resumed_at: int, kept: list[str]
) -> None:
    write_ledger(tmp_path, PLAN, [(0, 10, 4)])
    before = {file.path.name: file.path.read_bytes() for file in ledger_files(tmp_path)}
    (tmp_path / "ledger" / "step-00000000-00000099.rank-00000.parquet.partial").touch()
    LedgerWriter(tmp_path, 0, resumed_at)
    assert names(tmp_path) == [f"step-{s}.rank-0000{r}.parquet" for s in kept for r in range(4)]
    assert steps_in(tmp_path) == sorted(4 * list(range(min(resumed_at, 10))))
    for file in ledger_files(tmp_path):
        if file.path.name in before:
            assert file.path.read_bytes() == before[file.path.name]
        for row in pq.read_table(file.path).to_pylist():
            assert file.first_step <= row["step"] < file.end_step
            assert row["rank"] == file.rank


def test_other_ranks_cut_nothing(tmp_path: Path) -> None:
    write_ledger(tmp_path, PLAN, [(0, 10, 2)])
    before = names(tmp_path)
    LedgerWriter(tmp_path, 1, 0)
    assert names(tmp_path) == before


def test_a_cut_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    """Killed when the shorter file was there and the longer one not yet gone."""
    write_ledger(tmp_path, PLAN, [(0, 4, 1)])
    longer = next((tmp_path / "ledger").iterdir())
    content = longer.read_bytes()
    LedgerWriter(tmp_path, 0, 3)
    longer.write_bytes(content)
    write_ledger(tmp_path, PLAN, [(3, 6, 1)], every=6)
    assert steps_in(tmp_path) == list(range(6))
    assert len(names(tmp_path)) == 2


def test_a_write_that_fails_leaves_no_file_and_keeps_the_rows(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, 0, 0)
    writer.add(make_batch(PLAN, 0), place=0)
    (tmp_path / "ledger").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="ledger"):
        writer.flush()
    (tmp_path / "ledger").unlink()
    writer.flush()
    assert steps_in(tmp_path) == [0]


def test_a_file_that_is_not_yet_on_the_disk_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full when the last of the file has to be written."""
    writer = LedgerWriter(tmp_path, 0, 0)
    writer.add(make_batch(PLAN, 0), place=0)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            writer.flush()
    assert ledger_files(tmp_path) == []
    writer.flush()
    assert steps_in(tmp_path) == [0]


def full_disk(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_damaged_file_that_must_be_cut_is_named(tmp_path: Path) -> None:
    write_ledger(tmp_path, PLAN, [(0, 4, 1)])
    (file,) = ledger_files(tmp_path)
    file.path.write_bytes(file.path.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"rank-00000.parquet is damaged, .* cut at step 2"):
        LedgerWriter(tmp_path, 0, 2)


def test_only_files_that_a_writer_names_so_are_a_ledgers(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    for name in ("step-00000004-00000004.rank-00000.parquet", "step-0-4.parquet", "notes.txt"):
        (folder / name).touch()
    assert ledger_files(tmp_path) == []
    assert ledger_files(tmp_path / "none") == []
