"""The figures as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.contenders import CONTENDERS
from benchmarks.results import Cell, SuiteResult
from benchmarks.suite_growth import ACTORS, LENGTHS

_OURS, _PEERS, _BOUND, _INK = "#1b6ca8", "#a9b4bf", "#d9a441", "#222a33"


def plot_bars(result: SuiteResult, path: Path) -> None:
    """A panel of bars a workload, a bar a contender, the middle half of its rounds as a line."""
    panels = result.workloads
    if not panels:
        return
    names = [name for name in _ordered(result) if any(result.cell(p, name) for p in panels)]
    columns = min(2, len(panels))
    num_lines = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        num_lines,
        columns,
        figsize=(0.6 + 5.2 * columns, num_lines * (0.9 + 0.27 * len(names))),
        squeeze=False,
        sharey=result.suite == "video",
        layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08),
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for panel, axes in zip(panels, grid.flat, strict=False):
        shown = names if result.suite == "video" else [n for n in names if result.cell(panel, n)]
        _bars(axes, shown, [result.cell(panel, name) for name in shown])
        axes.set_title(panel, loc="left", fontsize=10, color=_INK, weight="bold")
        axes.set_xlabel(f"clips a second, {result.made['num_cores']} cores", fontsize=8.5)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_growth(result: SuiteResult, path: Path) -> None:
    """Frames a second over actors and clip length; opening over rows."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for axes, workload in ((left, ACTORS), (middle, LENGTHS)):
        cells = [cell for cell in result.cells if cell.workload == workload]
        numbers = [int(cell.contender) for cell in cells]
        frames = [16 if workload == ACTORS else number for number in numbers]
        middles = [c.clips_per_s.median * f for c, f in zip(cells, frames, strict=True)]
        axes.plot(numbers, middles, "o-", color=_OURS)
        axes.set_xticks(numbers)
        axes.set_xlabel(workload if workload == ACTORS else "frames in a clip")
        axes.set_ylabel("frames a second")
        axes.set_ylim(bottom=0)
    rows = [fact["num_rows"] for fact in result.facts]
    right.plot(rows, [fact["open_s"] for fact in result.facts], "o-", color=_OURS, label="open")
    firsts = [fact["open_s"] + fact["first_batch_s"] for fact in result.facts]
    right.plot(rows, firsts, "s--", color=_BOUND, label="and the batch of step 1,000,000")
    right.set_xscale("log")
    right.set_xlabel("rows of the catalogue")
    right.set_ylabel("seconds")
    right.set_ylim(bottom=0)
    right.legend(frameon=False, fontsize=8.5)
    for axes in (left, middle, right):
        _plain(axes)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _ordered(result: SuiteResult) -> list[str]:
    known = [contender.name for contender in CONTENDERS]
    known += [cell.contender for cell in result.cells]
    kinds = (_PEERS, _BOUND, _OURS)
    found = {cell.contender for cell in result.cells}
    return sorted(found, key=lambda name: (kinds.index(_colour(name)), known.index(name)))


def _bars(axes: Axes, names: Sequence[str], cells: Sequence[Cell | None]) -> None:
    longest = max(cell.clips_per_s.high for cell in cells if cell)
    for place, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if cell is None:
            axes.text(longest * 0.01, place, "not measured", va="center", fontsize=8, color=_PEERS)
            continue
        speed = cell.clips_per_s
        axes.barh(place, speed.median, 0.72, color=_colour(name))
        axes.plot([speed.low, speed.high], [place, place], color=_INK, linewidth=1.2)
        right = max(speed.high, speed.median) + longest * 0.015
        axes.text(right, place, f"{speed.median:.0f}", va="center", fontsize=8.5, color=_INK)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.12)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)


def _colour(name: str) -> str:
    if "avrep" in name:
        return _OURS
    return _BOUND if name.startswith("libavcodec") else _PEERS
