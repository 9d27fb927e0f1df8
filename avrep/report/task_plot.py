"""Encoders side by side, a panel for each number, with intervals."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from avrep.evaluation.task_tables import Column, TaskTable, shown
from avrep.report.wording import shortened

_INK, _SOFT, _DOT, _BEST = "#1b2126", "#5d6770", "#3d86a5", "#b5532a"
_NUM_ACROSS = 3
_NAME_CHARS = 34


def draw_tasks(table: TaskTable, out: Path) -> None:
    """Write the picture as a PNG: one panel a column of the table, the best encoder in another colour.

    Args:
        table: with at least one column.
        out: the file.
    """
    across = min(_NUM_ACROSS, len(table.columns))
    down = -(-len(table.columns) // across)
    height_in = down * (1.1 + 0.34 * len(table.encoders))
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    size_in = (3.2 + 3.2 * across, max(2.2, height_in))
    figure = Figure(figsize=size_in, dpi=130, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    panels = [axes for row in grid for axes in row]
    for place, axes in enumerate(panels):
        if place >= len(table.columns):
            axes.set_axis_off()
            continue
        _panel(axes, table, table.columns[place], named=place % across == 0)
    figure.savefig(out, format="png")


def _panel(axes: Axes, table: TaskTable, column: Column, *, named: bool) -> None:
    best = table.best(column)
    names = table.encoders
    for place, name in enumerate(names):
        cell = table.cells.get((name, column))
        if cell is None:
            axes.text(
                0.02,
                place,
                "not measured",
                color=_SOFT,
                fontsize=8,
                va="center",
                transform=axes.get_yaxis_transform(),
            )
            continue
        metric = cell.metric
        colour = _BEST if name in best else _DOT
        axes.plot([metric.ci_low, metric.ci_high], [place, place], color=colour, linewidth=1.6)
        axes.plot([metric.value], [place], "o", color=colour, markersize=6)
        axes.annotate(
            f"{shown(metric)} {cell.mark}".rstrip(),
            (metric.value, place),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontsize=8,
            color=_INK,
        )
        if metric.chance is not None:
            axes.plot(
                [metric.chance] * 2, [place - 0.3, place + 0.3], color=_SOFT, linestyle=(0, (2, 2))
            )
    _dress(axes, table, column)
    axes.set_yticks(
        range(len(names)),
        [shortened(name, _NAME_CHARS) for name in names] if named else [""] * len(names),
    )


def _dress(axes: Axes, table: TaskTable, column: Column) -> None:
    metric = next(cell.metric for (_, of), cell in table.cells.items() if of == column)
    better = "higher" if metric.higher_is_better else "lower"
    axes.set_title(column.title, color=_INK, fontsize=10, loc="left")
    unit = "percent, " if metric.in_percent else ""
    axes.set_xlabel(f"{unit}{better} is better", color=_SOFT, fontsize=8)
    axes.set_ylim(len(table.encoders) - 0.4, -0.6)
    if metric.in_percent:
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.margins(x=0.12)
    axes.grid(axis="x", color="#e4e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=8, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
