"""Cells come back as written; verdicts, table and page against cells planted for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evidence.cells import Cell, read_cells, write_cells
from evidence.lines import Line, lines_of, merge_lines, read_lines, write_lines
from evidence.plot import plot_clips
from evidence.report import table_rows, write_page

_NUM_ITEMS = 200


def cell(
    trained: float,
    untrained: float,
    baseline: float | None = None,
    *,
    seed: int = 0,
    method: str = "rspnet",
    question: str = "motion class",
) -> Cell:
    """A cell with the given shares of right answers, spread alike over the items."""
    keys = [f"video{i}" for i in range(_NUM_ITEMS)]

    def scores(share: float) -> list[float]:
        return [float(i * 7919 % _NUM_ITEMS < share * _NUM_ITEMS) for i in range(_NUM_ITEMS)]

    return Cell(
        method=method,
        question=question,
        seed=seed,
        keys=keys,
        clusters=keys,
        trained=scores(trained),
        untrained=scores(untrained),
        baseline=None if baseline is None else scores(baseline),
        baseline_name="" if baseline is None else "counting",
        chance=0.125,
        note="planted",
        facts={"steps": 300.0, "cpu_s": 100.0 + seed},
        made={"commit": "0123456789abcdef", "processor": "one", "num_cores": 2},
    )


def _lines(method: str, trained: float, baseline: float | None = None) -> list[Line]:
    return lines_of(method, "abc", [cell(trained, 0.3, baseline, method=method)])


def test_cells_come_back_as_written(tmp_path: Path) -> None:
    first, second = cell(0.5, 0.3, 0.4), cell(0.5, 0.3, seed=1, method="vjepa")
    paths = [tmp_path / "cells" / name for name in ("a.json", "none.json", "b.json")]
    write_cells(paths[0], [first, first])
    write_cells(paths[2], [second])
    assert read_cells(paths) == [first, first, second]


@pytest.mark.parametrize(
    ("trained", "untrained", "baseline", "verdict"),
    [
        (0.8, 0.3, 0.4, "learned"),
        (0.8, 0.3, None, "learned"),
        (
            0.5,
            0.3,
            0.9,
            "better than the untrained encoder; worse than the hand-made baseline",
        ),
        (
            0.5,
            0.5,
            0.2,
            "better than the hand-made baseline; not told from the untrained encoder",
        ),
        (0.2, 0.5, 0.6, "worse than the untrained encoder and the hand-made baseline"),
    ],
)
def test_a_verdict_says_what_the_intervals_say(
    trained: float, untrained: float, baseline: float | None, verdict: str
) -> None:
    (line,) = lines_of("rspnet", "abc", [cell(trained, untrained, baseline)])
    assert line.verdict == verdict
    assert (line.trained.value, line.untrained.value) == (trained, untrained)


def test_seeds_are_put_together() -> None:
    (line,) = lines_of("rspnet", "abc", [cell(0.8, 0.3, seed=0), cell(0.6, 0.3, seed=1)])
    (alone,) = lines_of("rspnet", "abc", [cell(0.7, 0.3)])
    assert line.num_seeds == 2
    assert line.trained.value == pytest.approx(0.7)
    assert line.trained.low < alone.trained.low
    (row,) = table_rows([line])
    assert row[:2] == ["rspnet", "2"]
    assert row[4:6] == ["", "0.12"]
    assert (line.steps, line.cpu_s, line.machine) == (300, 100.5, "one, 2 cores")


def test_lines_come_back_as_written(tmp_path: Path) -> None:
    lines = [*_lines("rspnet", 0.8, 0.4), *_lines("videomae", 0.4)]
    write_lines(tmp_path / "evidence.json", lines)
    assert read_lines(tmp_path / "evidence.json") == lines
    assert read_lines(tmp_path / "none.json") == []


def test_what_was_measured_before_stays_unless_measured_again_or_of_another_recipe() -> None:
    recipes = {"cvrl": "new", "rspnet": "abc", "videomae": "abc"}
    kept = [*_lines("videomae", 0.4), *_lines("rspnet", 0.8), *_lines("cvrl", 0.2)]
    measured = _lines("rspnet", 0.6)
    assert merge_lines(kept, measured, recipes) == [*measured, *_lines("videomae", 0.4)]


def test_the_page_shows_all_that_was_measured(tmp_path: Path) -> None:
    speed = cell(0.9, 0.5, 0.6, question="relative speed")
    lines = [
        *lines_of("rspnet", "abc", [speed, cell(0.8, 0.3, 0.4)]),
        *_lines("videomae", 0.4),
    ]
    (tmp_path / "evidence_videomae.png").write_bytes(b"")
    page = write_page(tmp_path, lines).read_text(encoding="utf-8")
    assert page.index("## Relative speed") < page.index("## Motion class")
    assert page.count("## Motion class") == 1
    assert page.count("| rspnet | 1 |") == 2
    row = [line for line in page.splitlines() if line.startswith("| rspnet | 1 |")][1]
    shown = [cell.strip() for cell in row.split("|")[3:-1]]
    assert [text[:6] for text in shown[:3]] == ["0.80 (", "0.30 (", "0.40 ("]
    assert shown[3:] == ["0.12", "learned"]
    assert "(evidence_videomae.png)" in page
    assert "| rspnet | 300 | 100 | 0123456789ab | one, 2 cores |" in page
    assert (tmp_path / "evidence.png").stat().st_size > 1000


def test_clips_are_drawn_frame_by_frame(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).random((3, 3, 4, 16, 16), dtype=np.float32)
    path = tmp_path / "clips.png"
    plot_clips(["left", "right", "up"], {"input": clips, "output": clips[:, :, ::-1]}, path)
    colours = Image.open(path).convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 1000
