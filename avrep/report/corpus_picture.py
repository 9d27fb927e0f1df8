"""A corpus in one picture: durations, frame sizes, rates, codecs, and what has sound."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from avrep.report.corpus import CorpusSummary, Counts
from avrep.report.wording import duration, number

_INK, _SOFT, _BAR = "#1b2126", "#5d6770", "#3d86a5"
_NUM_BARS = 6


def draw_corpus(summary: CorpusSummary, out: Path) -> None:
    """Writes the picture as a PNG."""
    s = summary
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(11.2, 6.2), dpi=130, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    title = f"{s.num_items:,} items, {duration(s.total_duration_s)}"
    figure.suptitle(title, color=_INK, fontsize=13, fontweight="bold", x=0.012, ha="left")
    _durations(axes[0, 0], s)
    kinds = (
        ("both", s.num_both),
        ("picture only", s.num_video_only),
        ("sound only", s.num_audio_only),
        ("neither", s.num_neither),
    )
    _bars(axes[0, 1], "Picture and sound", tuple(k for k in kinds if k[1]), s.num_items)
    _bars(axes[0, 2], "Frame size (px)", s.frame_sizes, s.num_both + s.num_video_only)
    _bars(axes[1, 0], "Frames per second", s.fps, s.num_both + s.num_video_only)
    _bars(axes[1, 1], "Video codec", s.video_codecs, s.num_both + s.num_video_only)
    sounding = s.num_both + s.num_audio_only
    _bars(axes[1, 2], "Sound: rate (Hz)", s.audio_rates_hz, sounding)
    figure.savefig(out, format="png")


def _durations(axes: Axes, s: CorpusSummary) -> None:
    _title(axes, "How long an item lasts", len(s.duration_counts) == 0)
    if not len(s.duration_counts):
        return
    edges = s.duration_edges_s
    axes.bar(edges[:-1], s.duration_counts, width=edges[1:] - edges[:-1], align="edge", color=_BAR)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: duration(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if edges[-1] / edges[0] < 20:
        middle = float((edges[0] * edges[-1]) ** 0.5)
        axes.set_xticks([float(edges[0]), middle, float(edges[-1])])
        axes.minorticks_off()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
    axes.set_ylabel("items", color=_SOFT, fontsize=9)
    axes.axvline(s.durations_s[3], color=_INK, linewidth=1, linestyle=(0, (3, 2)))
    axes.annotate(
        f" median {duration(s.durations_s[3])}",
        (s.durations_s[3], 1.0),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=8.5,
        color=_INK,
    )
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Axes, title: str, counts: Counts, total: int) -> None:
    _title(axes, title, not counts)
    if not counts:
        return
    shown = list(counts[:_NUM_BARS])
    if rest := total - sum(count for _, count in shown):
        shown.append(("others", rest))
    names = [name if len(name) <= 16 else f"{name[:15]}\u2026" for name, _ in shown]
    values = [count for _, count in shown]
    places = range(len(shown))
    axes.barh(places, values, color=_BAR, height=0.62)
    axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
    axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    axes.set_xlim(0, max(values) * 1.32)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f" {value:,} ({value / max(total, 1):.1%})", (value, place), va="center", fontsize=8.5
        )
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _title(axes: Axes, title: str, empty: bool) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=_INK, fontweight="bold")
    axes.tick_params(colors=_SOFT, labelsize=8.5)
    axes.spines[:].set_color("#c9d0d5")
    if empty:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=_SOFT)
        axes.set_xticks([])
        axes.set_yticks([])
