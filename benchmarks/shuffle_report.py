"""The findings as a page and a plot."""

import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.pipeline.shuffle import ShuffleConfig
from benchmarks.shuffle_quality import Mixing
from benchmarks.shuffle_reading import Layout, Reading
from benchmarks.shuffle_store import BYTES_PER_S, LATENCY_S
from benchmarks.shuffle_words import CONTENTS, HOW_IT_IS_MEASURED, WHEN_TO_CHANGE

_COLOURS = ("#b2182b", "#ef8a62", "#67a9cf", "#2166ac")
_NUM_CLASSES = 101
# Points further right lie on one another.
_CROWDED = 0.9
_SHORT = ((1, 256), (4, 256), (8, 256), (16, 256), (16, 64), (4, 1024))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    num_items: int
    num_classes: int
    global_batch: int
    shuffle: ShuffleConfig
    mixing: Mixing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRow:
    shuffle: ShuffleConfig
    item_bytes: int
    global_batch: int
    layout: Layout
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    item_bytes: int
    shuffle: ShuffleConfig
    items_per_s: Sequence[float]
    """Of one actor; a figure for each round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    probe_full: Sequence[float]
    """Accuracies, one for each seed."""
    probe_stored: Sequence[float]
    probes: Mapping[ShuffleConfig, Sequence[float]]
    quality: Sequence[QualityRow]
    """One size of corpus and of batch."""
    sizes: Sequence[QualityRow]
    """Some shuffles, all sizes."""
    reading: Sequence[ReadingRow]
    """Two actors of one rank."""
    layouts: Sequence[ReadingRow]
    rates: Sequence[RateRow]
    took_s: float


def write_report(findings: Findings, folder: Path) -> None:
    """Write `shuffle.md` and `shuffle.png` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _plot(findings).savefig(folder / "shuffle.png", dpi=120)
    lines = [
        "# Shuffle quality against read length",
        "",
        f"Written by `python -m benchmarks.shuffle` in {findings.took_s:.0f} s; {_where()}.",
        "",
        *CONTENTS,
        "",
        *_short(findings),
        "",
        "![Same-class pairs against requests for an item](shuffle.png)",
        "",
        "Numbers beside the points are block_items; the ring is the default. To the left is cheaper, "
        "below is better mixed. A line turns back where the window no longer fits the budget.",
        "",
        *WHEN_TO_CHANGE,
        "",
        "## Quality",
        "",
        *_quality(findings),
        "",
        "## Quality by size of corpus and batch",
        "",
        "400 classes in a row.",
        "",
        *_sizes(findings.sizes),
        "",
        "## Reads: one rank, two actors",
        "",
        f"Each cell: requests for an item / mean read / bytes read over bytes used. Global batch "
        f"{findings.reading[0].global_batch}, {READ_AHEAD_BYTES / 2**20:.0f} MiB read ahead an "
        "actor.",
        "",
        *_reading(findings.reading),
        "",
        "## Reads: who shares a step",
        "",
        "Items of 300 kB; cells as above.",
        "",
        *_layouts(findings.layouts),
        "",
        "## A far store",
        "",
        f"Items a second that one actor fetches with its four threads, nothing decoded, from a "
        f"server that waits {1e3 * LATENCY_S:.0f} ms and then gives {BYTES_PER_S / 1e6:.0f} MB/s a "
        "connection. Windows as large as fits the budgets of two actors, at most 512 items; median "
        "(range) of three rounds. These are the only figures here that depend on the machine and "
        "on what else it does.",
        "",
        *_rates(findings.rates),
        "",
        *HOW_IT_IS_MEASURED,
    ]
    (folder / "shuffle.md").write_text("\n".join(lines) + "\n")


def _short(findings: Findings) -> Iterator[str]:
    sizes = list(dict.fromkeys(row.item_bytes for row in findings.reading))
    costs = {(r.shuffle, r.item_bytes): r.reading.requests_per_item for r in findings.reading}
    mixing = {r.shuffle: r.mixing for r in findings.quality if r.num_classes != _NUM_CLASSES}
    heads = " | ".join(f"requests for an item of {_bytes(size)}" for size in sizes)
    yield f"| block_items x window_blocks | mates | class pairs | accuracy | {heads} |"
    yield "|" + "---|" * (4 + len(sizes))
    for block_items, window_blocks in _SHORT:
        shuffle = ShuffleConfig(block_items=block_items, window_blocks=window_blocks)
        yield _line(
            f"{block_items} x {window_blocks}{' (default)' if shuffle == ShuffleConfig() else ''}",
            f"{mixing[shuffle].mates:.2f}",
            f"{mixing[shuffle].class_pairs:.2f}",
            _points(findings.probes[shuffle], findings.probe_full),
            *(f"{costs[shuffle, size]:.2f}" for size in sizes),
        )


def _quality(findings: Findings) -> Iterator[str]:
    first = findings.quality[0]
    stored = _points(findings.probe_stored, findings.probe_full)
    yield (
        f"{first.num_items:,} items, global batch {first.global_batch}; 101 and 400 classes that "
        "lie in a row. All but mates and correlation are ratios to a full shuffle. Accuracy is in "
        "points against a full shuffle "
        f"({100 * statistics.mean(findings.probe_full):.1f} %), with the standard error over seeds; "
        f"read as stored it is {stored}."
    )
    yield ""
    yield (
        "| window_blocks | block_items | mates | class pairs 101 | 400 | in one of 8 ranks 101 | 400 "
        "| pairs, shuffled corpus | class variance 101 | distinct classes 101 | 400 | correlation "
        "| accuracy |"
    )
    yield "|" + "---|" * 13
    by_shuffle: dict[ShuffleConfig, list[Mixing]] = {}
    for row in findings.quality:
        by_shuffle.setdefault(row.shuffle, []).append(row.mixing)
    for shuffle, (few, many) in by_shuffle.items():
        cells = [
            f"{few.mates:.2f}",
            f"{few.class_pairs:.2f}",
            f"{many.class_pairs:.2f}",
            f"{few.rank_class_pairs:.2f}",
            f"{many.rank_class_pairs:.2f}",
            f"{few.class_pairs_shuffled:.2f}",
            f"{few.class_variance:.2f}",
            f"{few.distinct_classes:.2f}",
            f"{many.distinct_classes:.2f}",
            f"{few.position_correlation:.2f}",
            _points(findings.probes[shuffle], findings.probe_full),
        ]
        yield _line(shuffle.window_blocks, _named(shuffle), *cells)


def _sizes(rows: Sequence[QualityRow]) -> Iterator[str]:
    yield (
        "| block_items x window_blocks | items | global batch | mates | class pairs "
        "| class variance | distinct classes | correlation |"
    )
    yield "|" + "---|" * 8
    for row in rows:
        mixing = row.mixing
        yield _line(
            f"{row.shuffle.block_items} x {row.shuffle.window_blocks}",
            f"{row.num_items:,}",
            row.global_batch,
            f"{mixing.mates:.2f}",
            f"{mixing.class_pairs:.2f}",
            f"{mixing.class_variance:.2f}",
            f"{mixing.distinct_classes:.2f}",
            f"{mixing.position_correlation:.2f}",
        )


def _reading(rows: Sequence[ReadingRow]) -> Iterator[str]:
    sizes = list(dict.fromkeys(row.item_bytes for row in rows))
    head = " | ".join(f"items of {_bytes(size)}" for size in sizes)
    yield f"| window_blocks | block_items | {head} |"
    yield "|" + "---|" * (2 + len(sizes))
    cells = {(row.shuffle, row.item_bytes): _cost(row.reading) for row in rows}
    for shuffle in dict.fromkeys(row.shuffle for row in rows):
        yield _line(
            shuffle.window_blocks, _named(shuffle), *(cells[shuffle, size] for size in sizes)
        )


def _layouts(rows: Sequence[ReadingRow]) -> Iterator[str]:
    cuts = list(dict.fromkeys(row.layout.cut for row in rows))
    yield (
        "| block_items x window_blocks | ranks x actors | parts of a step | global batch | "
        + " | ".join(f"cut {cut}" for cut in cuts)
        + " |"
    )
    yield "|" + "---|" * (4 + len(cuts))
    lines: dict[tuple[object, ...], list[str]] = {}
    for row in rows:
        layout = row.layout
        key = (
            f"{row.shuffle.block_items} x {row.shuffle.window_blocks}",
            f"{layout.world_size} x {layout.num_actors}",
            layout.num_parts or "as actors",
            row.global_batch,
        )
        lines.setdefault(key, []).append(_cost(row.reading))
    for key, cells in lines.items():
        yield _line(*key, *cells)


def _rates(rows: Sequence[RateRow]) -> Iterator[str]:
    counts = list(dict.fromkeys(row.shuffle.block_items for row in rows))
    yield "| items of | " + " | ".join(f"block_items {count}" for count in counts) + " |"
    yield "|" + "---|" * (1 + len(counts))
    for size in dict.fromkeys(row.item_bytes for row in rows):
        cells = [
            f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
            for rates in (row.items_per_s for row in rows if row.item_bytes == size)
        ]
        yield _line(_bytes(size), *cells)


def _plot(findings: Findings) -> Figure:
    sizes = list(dict.fromkeys(row.item_bytes for row in findings.reading))
    pairs = {
        row.shuffle: max(1.0, row.mixing.class_pairs)
        for row in findings.quality
        if row.num_classes == _NUM_CLASSES
    }
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharex=True, sharey=True)
        for axes, size in zip(np.atleast_1d(panels), sizes, strict=True):
            _panel(axes, [row for row in findings.reading if row.item_bytes == size], pairs)
            axes.set_title(f"items of {_bytes(size)}")
            axes.set_xlabel("requests for an item")
        np.atleast_1d(panels)[0].set_ylabel(
            f"same-class pairs in a batch, full shuffle = 1\n({_NUM_CLASSES} classes in a row)"
        )
        np.atleast_1d(panels)[0].legend(title="window_blocks", frameon=False, loc="upper right")
    return figure


def _panel(axes, rows: Sequence[ReadingRow], pairs: Mapping[ShuffleConfig, float]) -> None:
    windows = list(dict.fromkeys(row.shuffle.window_blocks for row in rows))
    for window, colour in zip(windows, _COLOURS, strict=True):
        here = [row for row in rows if row.shuffle.window_blocks == window]
        x = [row.reading.requests_per_item for row in here]
        y = [pairs[row.shuffle] for row in here]
        axes.plot(x, y, "o-", color=colour, label=str(window), markersize=4, linewidth=1.2)
        for row, at_x, at_y in zip(here, x, y, strict=True):
            if at_x < _CROWDED:
                number = str(row.shuffle.block_items)
                axes.annotate(
                    number,
                    (at_x, at_y),
                    (2, 4),
                    textcoords="offset points",
                    fontsize=7,
                    color=colour,
                )
            if row.shuffle == ShuffleConfig():
                axes.plot(at_x, at_y, "o", markersize=11, markerfacecolor="none", color="black")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, ticks in (
        (axes.xaxis, (0.01, 0.03, 0.1, 0.3, 1)),
        (axes.yaxis, (1, 1.5, 2, 3, 5, 8)),
    ):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(alpha=0.25)


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _named(shuffle: ShuffleConfig) -> str:
    return f"{shuffle.block_items}{' (default)' if shuffle == ShuffleConfig() else ''}"


def _points(accuracies: Sequence[float], full: Sequence[float]) -> str:
    """Mean difference of the same seeds, with its standard error."""
    differences = 100 * (np.array(accuracies) - np.array(full))
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return f"{differences.mean():+.1f} +- {error:.1f}"


def _cost(reading: Reading) -> str:
    return (
        f"{reading.requests_per_item:.2f} / {_bytes(reading.mean_read_bytes)} / "
        f"{reading.amplification:.2f}"
    )


def _bytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"


def _where() -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False
    ).stdout.strip()
    cpus = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpus.read_text().splitlines() if cpus.is_file() else ())
        if line.startswith("model name")
    ]
    machine = f"{len(names)} cores of {names[0]}" if names else platform.machine()
    today = datetime.now(UTC).date().isoformat()
    return f"commit {commit}, {today}, {machine}, Python {platform.python_version()}, seed 1"
