"""Proves that a run folder is read as it was written, and that no damage to it goes unmentioned."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.report.run_files import read_run


def write_metrics(run: Path, text: str) -> None:
    run.mkdir(exist_ok=True)
    (run / "metrics.jsonl").write_text(text)


def test_metrics_equal_the_lines_of_the_file(run_dir: Path) -> None:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    metrics = read_run(run_dir).metrics
    assert metrics.steps.tolist() == [line["step"] for line in lines]
    for key in ("loss", "lr", "top1", "grad_norm"):
        expected = np.array([line.get(key, math.nan) for line in lines])
        np.testing.assert_array_equal(metrics.columns[key], expected)
    assert np.isnan(metrics.columns["top1"]).any()
    assert not metrics.not_finite


def test_of_a_resumed_run_the_last_line_of_a_step_counts(tmp_path: Path) -> None:
    lines = [(10, 5.0), (20, 4.0), (30, 3.0), (20, 2.5), (30, 2.0), (40, 1.0)]
    text = "".join(json.dumps({"step": s, "loss": v}) + "\n" for s, v in lines)
    write_metrics(tmp_path, text)
    metrics = read_run(tmp_path).metrics
    assert metrics.steps.tolist() == [10, 20, 30, 40]
    assert metrics.columns["loss"].tolist() == [5.0, 2.5, 2.0, 1.0]


def test_a_key_of_a_replaced_line_does_not_linger(tmp_path: Path) -> None:
    write_metrics(tmp_path, '{"step": 1, "loss": 2, "top1": 0.5}\n{"step": 1, "loss": 3}\n')
    assert list(read_run(tmp_path).metrics.columns) == ["loss"]


def test_half_written_and_foreign_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    good = '{"step": 1, "loss": 2.0}\n'
    bad = ['{"step": 2, "lo', "[1, 2]", '{"loss": 1}', '{"step": -4}', '{"step": true}', "[" * 9000]
    write_metrics(tmp_path, good + "\n".join(bad))
    run = read_run(tmp_path)
    assert run.metrics.steps.tolist() == [1]
    assert run.notes == (
        f"metrics.jsonl: passed over {len(bad)} of its lines (half-written or damaged)",
    )


def test_a_line_without_end_costs_no_memory_and_spoils_no_neighbour(tmp_path: Path) -> None:
    endless = '{"step": 2, "note": "' + "x" * 300_000 + '"}\n'
    write_metrics(tmp_path, '{"step": 1, "loss": 2}\n' + endless + '{"step": 3, "loss": 1}\n')
    assert read_run(tmp_path).metrics.steps.tolist() == [1, 3]


def test_values_that_are_not_finite_are_kept_apart_from_missing_ones(tmp_path: Path) -> None:
    values = ["1.5", "NaN", "Infinity", "1e200", '"text"', "null", "true", "2.5"]
    text = "".join(f'{{"step": {i}, "loss": {v}}}\n' for i, v in enumerate(values))
    write_metrics(tmp_path, text)
    metrics = read_run(tmp_path).metrics
    assert metrics.not_finite == {"loss": (1, 2, 3)}
    loss = metrics.columns["loss"]
    assert np.flatnonzero(np.isfinite(loss)).tolist() == [0, 7]
    assert loss[[0, 7]].tolist() == [1.5, 2.5]


def test_an_empty_metrics_file_is_no_fault(tmp_path: Path) -> None:
    write_metrics(tmp_path, "")
    run = read_run(tmp_path)
    assert len(run.metrics.steps) == 0
    assert run.notes == ()


def test_damaged_files_leave_a_note_each_and_the_rest_is_read(run_dir: Path) -> None:
    (run_dir / "config.yaml").write_text("a: [1, 2\nb: }")
    (run_dir / "environment.json").write_text("{")
    (run_dir / "health.json").write_text("[1]")
    (run_dir / "contact_sheet.png").write_bytes(b"GIF89a not a PNG")
    (run_dir / "evaluation" / "linear.json").write_text('{"rows": 3}')
    run = read_run(run_dir)
    named = [note.replace(" ", ":").partition(":")[0] for note in run.notes]
    assert sorted(named) == [
        "config.yaml",
        "contact_sheet.png",
        "environment.json",
        "evaluation/linear.json",
        "health.json",
    ]
    assert str(run_dir) not in "".join(run.notes)
    assert run.results
    assert len(run.metrics.steps)
    assert run.pictures == {}


def test_a_yaml_that_would_run_code_does_not(run_dir: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    command = f'!!python/object/apply:os.mkdir ["{planted}"]'
    (run_dir / "config.yaml").write_text(f"objective: {command}\n")
    run = read_run(run_dir)
    assert not planted.exists()
    assert run.config == {}
    assert run.notes[0].startswith("config.yaml: not YAML")


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "elsewhere"
    if made:
        folder.mkdir()
    with pytest.raises(ConfigError, match="elsewhere"):
        read_run(folder)
