"""The evidence as a picture: a row for each method and question, a mark for each encoder."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from evidence.lines import Line

_MARKS = (
    ("trained", "#1b6ca8", "o", 0.2),
    ("untrained", "#8794a1", "s", 0.0),
    ("baseline", "#d9a441", "D", -0.2),
)


def plot_lines(lines: Sequence[Line], path: Path) -> None:
    """Draw each line's means and intervals, a panel for each question."""
    questions = list(dict.fromkeys(line.question for line in lines))
    heights = [sum(line.question == question for line in lines) for question in questions]
    figure, grid = plt.subplots(
        len(questions),
        1,
        figsize=(8.5, 0.6 * len(questions) + 0.55 * len(lines) + 0.6),
        height_ratios=heights,
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for question, axes in zip(questions, grid[:, 0], strict=True):
        chosen = [line for line in lines if line.question == question]
        for place, line in enumerate(chosen):
            for name, colour, marker, shift in _MARKS:
                interval = getattr(line, name)
                if interval is None:
                    continue
                error = [[interval.value - interval.low], [interval.high - interval.value]]
                axes.errorbar(
                    interval.value,
                    place - shift,
                    xerr=error,
                    fmt=marker,
                    color=colour,
                    capsize=2,
                    label={"baseline": "hand-made"}.get(name, name) if place == 0 else None,
                )
            axes.plot([line.chance] * 2, [place - 0.4, place + 0.4], ":", color="#444")
        axes.set_yticks(range(len(chosen)), [line.method for line in chosen])
        axes.set_ylim(len(chosen) - 0.5, -0.5)
        axes.set_title(question, loc="left", fontsize=10, weight="bold")
        axes.grid(axis="x", alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    grid[0, 0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False)
    grid[-1, 0].set_xlim(0, 1)
    grid[-1, 0].set_xlabel("share right; dotted: chance")
    figure.savefig(path, dpi=130)
    plt.close(figure)
