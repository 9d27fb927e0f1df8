"""`python -m evidence`: train each objective for some minutes, measure, write docs/evidence.md.

What the page tells of methods that are not named stays as it is.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from avrep.errors import ConfigError
from benchmarks.machine import describe_machine
from evidence.cells import read_cells, write_cells
from evidence.corpora import media_folder
from evidence.lines import Line, lines_of, merge_lines, read_lines, write_lines
from evidence.methods import MEDIA, METHODS
from evidence.report import table_rows, write_page
from evidence.training import recipe_digest, study_name

_ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 130


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evidence", description=__doc__)
    parser.add_argument("methods", nargs="*", help=f"of {', '.join(METHODS)}; all if none is named")
    parser.add_argument("--seeds", type=int, default=3, help="train each so many times")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--work", type=Path, default=_ROOT / "runs" / "evidence")
    parser.add_argument("--out", type=Path, default=_ROOT / "docs", help="where the page goes")
    chosen = parser.parse_args()
    unknown = set(chosen.methods) - set(METHODS)
    if unknown:
        parser.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(METHODS)}")
    work, seeds = chosen.work.resolve(), range(chosen.seeds)
    # What was measured stays measured: an interrupted command goes on where it stopped.
    missing = [
        (method, seed)
        for seed in seeds
        for method in chosen.methods or METHODS
        if not _cells_path(work, method, seed).is_file()
    ]
    try:
        # Told before anything is trained.
        for below in dict.fromkeys(MEDIA[method] for method, _ in missing if method in MEDIA):
            media_folder(below)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(chosen.threads)
    for method, seed in missing:
        made = describe_machine()
        try:
            cells = METHODS[method](work, chosen.out, seed)
        except ConfigError as error:
            parser.exit(2, f"{method}: {error}\n")
        write_cells(_cells_path(work, method, seed), [replace(cell, made=made) for cell in cells])
    recipes = {method: recipe_digest(method) for method in METHODS}
    measured: list[Line] = []
    for method in chosen.methods or METHODS:
        cells = read_cells(_cells_path(work, method, seed) for seed in seeds)
        measured += lines_of(method, recipes[method], cells)
    _print(measured)
    # What was measured of other methods before stays on the page.
    record = chosen.out / "evidence.json"
    lines = merge_lines(read_lines(record), measured, recipes)
    write_lines(record, lines)
    print(f"page: {write_page(chosen.out, lines)}")


def _cells_path(work: Path, method: str, seed: int) -> Path:
    return work / "cells" / f"{study_name(method, seed)}.json"


def _print(lines: list[Line]) -> None:
    for question in dict.fromkeys(line.question for line in lines):
        table = Table(title=question, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("method", "seeds", "trained", "untrained", "hand-made", "chance"):
            table.add_column(name, min_width=len(name))
        table.add_column("verdict")
        for row in table_rows([line for line in lines if line.question == question]):
            table.add_row(*row)
        # Narrower than this, the verdict would be a column of single words.
        Console(width=max(_WIDTH, Console().width)).print(table)


if __name__ == "__main__":
    main()
