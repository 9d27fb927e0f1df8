"""The evidence as a page and a picture, from the lines that were measured."""

from collections.abc import Sequence
from pathlib import Path

from evidence.lines import Line, Share
from evidence.plot import plot_lines

_WORDS = """# What each objective learns in a few minutes

Written by `make evidence`. Each objective was trained by its recipe in `configs/evidence/` on CPU
cores, as many times as the table says, each time with another seed, and measured on items that it
was not trained on or by a probe whose test items are other speakers or videos. *Untrained* is the
same encoder before its first step; *hand-made* is what one would try without any learning.
Intervals are 95 %, over seeds and items. A difference is called so when its interval leaves out 0.
The head of each recipe says what else was tried. evidence.json has the numbers.

"""

_PICTURE_WORDS = """Of masked autoencoders, clips that they were not trained on: the input, what the
encoder saw of it, and the output, which is the input with the prediction where it was hidden. First
seed."""


def write_page(folder: Path, lines: Sequence[Line]) -> Path:
    """Write `evidence.md` and `evidence.png`.

    Args:
        folder: where they go.
        lines: all that were measured.

    Returns:
        The page.
    """
    asked = list(dict.fromkeys(line.question for line in lines))
    lines = sorted(lines, key=lambda line: asked.index(line.question))
    plot_lines(lines, folder / "evidence.png")
    page = folder / "evidence.md"
    page.write_text(_WORDS + "\n".join(_sections(lines, folder)) + "\n", encoding="utf-8")
    return page


def table_rows(lines: Sequence[Line]) -> list[list[str]]:
    """Method, seeds, trained, untrained, hand-made, chance, verdict."""
    return [
        [
            line.method,
            str(line.num_seeds),
            _said(line.trained),
            _said(line.untrained),
            _said(line.baseline) if line.baseline else "",
            f"{line.chance:.2f}",
            line.verdict,
        ]
        for line in lines
    ]


def _sections(lines: Sequence[Line], folder: Path) -> list[str]:
    said = ["![Trained, untrained and hand-made, with 95 % intervals](evidence.png)", ""]
    for question in dict.fromkeys(line.question for line in lines):
        chosen = [line for line in lines if line.question == question]
        said += [f"## {question[:1].upper()}{question[1:]}", ""]
        said += ["| method | seeds | trained | untrained | hand-made | chance | verdict |"]
        said += ["|---|---|---|---|---|---|---|"]
        said += [f"| {' | '.join(row)} |" for row in table_rows(chosen)]
        baselines = dict.fromkeys(line.baseline_name for line in chosen if line.baseline_name)
        notes = _notes(chosen)
        said += ["", *(f"Hand-made: {name}." for name in baselines), ""]
        said += [*(f"- {note}" for note in notes), ""] if notes else []
    pictures = sorted(folder.glob("evidence_*.png"))
    if pictures:
        said += ["## What is filled in", "", _PICTURE_WORDS, ""]
    for path in pictures:
        method = path.stem.removeprefix("evidence_")
        said += [f"### {method}", "", f"![Held-out clips of {method}]({path.name})", ""]
    said += ["## What it took", "", "| method | steps | CPU s a run | measured at | machine |"]
    said += ["|---|---|---|---|---|"]
    for line in {line.method: line for line in lines}.values():
        said.append(
            f"| {line.method} | {line.steps} | {line.cpu_s:.0f} | {line.commit} | {line.machine} |"
        )
    return said


def _notes(lines: Sequence[Line]) -> list[str]:
    """Each note once, behind the methods that have it."""
    methods: dict[str, list[str]] = {}
    for line in lines:
        if line.note:
            methods.setdefault(line.note, []).append(line.method)
    return [f"{', '.join(names)}: {note}" for note, names in methods.items()]


def _said(share: Share) -> str:
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
