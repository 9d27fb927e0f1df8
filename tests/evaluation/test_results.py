"""Proves that rows come back as written, that nothing else is read as rows, that a failed write
leaves the old file, and that the table shows the right cells.
"""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation import results
from avrep.evaluation.results import EvalRow, read_rows, write_rows

ROW = EvalRow(
    task="ucf101",
    protocol="retrieval",
    label="class",
    encoder="pretrained",
    metric="R@1",
    value=0.518,
    ci_low=0.49,
    ci_high=0.5412,
    num_test=3783,
    num_clusters=707,
    chance=0.0101,
    fold=1,
    seed=7,
    note="gallery of 9537",
)
BASE = dataclasses.replace(ROW, encoder="untrained", value=0.12, ci_low=0.1, ci_high=0.14)
GAIN = dataclasses.replace(
    ROW, encoder="difference", value=0.398, ci_low=0.37, ci_high=0.43, chance=0.0
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = (ROW, BASE, GAIN, dataclasses.replace(ROW, fold=None, over="mean of folds"))
    path = tmp_path / "new" / "results.json"
    write_rows(path, rows)
    assert read_rows(path) == rows
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]
    stored = json.loads(path.read_text())
    assert (stored["schema"], stored["version"]) == ("avrep.evaluation", 1)
    assert stored["rows"][0]["value"] == 0.518
    write_rows(path, rows[:1])
    assert read_rows(path) == rows[:1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version"),
        ({"schema": "other"}, "schema"),
        ({"extra": 1}, "extra"),
        ({"rows": [{"task": "ucf101"}]}, "rows.0"),
        ({"rows": 3}, "rows"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "results.json"
    write_rows(path, [ROW])
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=f"no results file of version 1: {message}"):
        read_rows(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "0.5"),
        ("encoder", "mystery"),
        ("surprise", 1),
        ("value", 0.99),
        ("num_test", 1.5),
        ("chance", math.inf),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "results.json"
    write_rows(path, [ROW])
    stored = json.loads(path.read_text())
    stored["rows"][0][field] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="no results file of version 1: rows"):
        read_rows(path)


def test_no_file_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no results file"):
        read_rows(tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b"{\xff")
    with pytest.raises(ConfigError, match="no results file of version 1: the file"):
        read_rows(tmp_path / "bad.json")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    write_rows(path, [ROW])

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(results.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_rows(path, [BASE])
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]
    assert read_rows(path) == (ROW,)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_rows(path, [ROW])
    old = path.read_text()
    with path.open() as reading:
        write_rows(path, [ROW, BASE])
        assert reading.read() == old
    assert len(read_rows(path)) == 2


def test_a_row_checks_itself() -> None:
    with pytest.raises(ValueError, match=r"outside \[0\.6, 0\.7\]"):
        dataclasses.replace(ROW, ci_low=0.6, ci_high=0.7)
    with pytest.raises(ValueError, match="outside"):
        dataclasses.replace(ROW, value=math.nan)
