"""The results' page, written from what was measured and from nothing else."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread
from benchmarks.plot import plot_bars, plot_growth
from benchmarks.results import SuiteResult, read_results
from benchmarks.suite_growth import ACTORS, LENGTHS
from benchmarks.targets import targets

SUITES = ("video", "sound", "growth", "trainer", "objectives")

_INTRO = """\
# Benchmarks

Written by `python -m benchmarks`; `benchmarks/README.md` says what is measured and how. A figure is
the median over rounds, and in brackets the range of the middle half. CPU time is that of all
processes of a contender, Ray's own included. Start-up is the time to the first batch, without
imports and without starting Ray.
"""


def write_report(folder: Path) -> Path:
    """`README.md` and the plots, from all suites' JSON files in the folder."""
    parts = [_INTRO]
    for result in sorted(read_results(folder), key=lambda result: SUITES.index(result.suite)):
        match result.suite:
            case "video":
                plot_bars(result, folder / "video.png")
                parts += ["## Two clips of each video", _made(result), "![](video.png)"]
                parts += [_target_table(result), *_speed_tables(result), _check_table(result)]
            case "sound":
                plot_bars(result, folder / "sound.png")
                parts += ["## Sound, and sound with its picture", _made(result), "![](sound.png)"]
                parts += [*_speed_tables(result), _check_table(result)]
            case "growth":
                plot_growth(result, folder / "growth.png")
                parts += ["## How the cost grows", _made(result), "![](growth.png)"]
                parts += _growth_tables(result)
            case "trainer":
                parts += ["## A trainer fed by the stream", _made(result), _trainer_table(result)]
            case "objectives":
                parts += ["## Each objective fed by the stream", _made(result)]
                parts += [_objectives_table(result)]
        parts.append(_absent(result))
    path = folder / "README.md"
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    path.write_text(text + "\n", encoding="utf-8")
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _made(result: SuiteResult) -> str:
    made = result.made
    versions = made["versions"]
    named = ("av", "decord", "torchcodec", "pytorchvideo", "ray", "torch")
    listed = ", ".join(f"{name} {versions[name]}" for name in named if name in versions)
    kept = {name: value for name, value in result.settings.items() if name != "files"}
    settings = ", ".join(f"{name} {value}" for name, value in kept.items())
    return (
        f"{made['date']}, commit {made['commit']}, {made['processor']}, {made['num_cores']} cores, "
        f"{made['memory_gib']} GiB, load before {made['load_before']}; {listed}. Settings: {settings}."
    )


def _target_table(result: SuiteResult) -> str:
    rows = [
        (
            target.text,
            target.workload,
            _figure(target.ratio, 2),
            f"{target.at_least:g}",
            "pass" if target.is_met else "**miss**",
            _figure(target.by_cpu, 2),
        )
        for target in targets(result)
    ]
    return table(("target", "files", "ratio", "at least", "", "by CPU time"), rows) if rows else ""


def _speed_tables(result: SuiteResult) -> list[str]:
    found = []
    for workload in result.workloads:
        rows = [
            (
                cell.contender,
                _figure(cell.clips_per_s, 1),
                _figure(cell.cpu_ms_per_clip, 1),
                f"{cell.first_batch_s:.1f}",
            )
            for cell in result.cells
            if cell.workload == workload
        ]
        head = (workload, "clips/s", "CPU ms a clip", "start-up s")
        found.append(table(head, rows))
    return found


def _check_table(result: SuiteResult) -> str:
    if not result.checks:
        return ""
    units = {"psnr_db": "PSNR dB", "right_frames": "right frames", "snr_db": "SNR dB"}
    names = list(next(iter(result.checks.values())))
    head = ("beside avrep's own output", *(units.get(n) or n.replace("_", " ") for n in names))
    rows = [
        (where, *(_value(name, agreement[name]) for name in names))
        for where, agreement in result.checks.items()
    ]
    return table(head, rows)


def _value(name: str, value: Any) -> str:
    if name == "right_frames":
        return f"{value:.1%}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _growth_tables(result: SuiteResult) -> list[str]:
    found = []
    for workload, head in ((ACTORS, "decode actors"), (LENGTHS, "frames in a clip")):
        rows = [
            (cell.contender, _figure(cell.clips_per_s, 1), _figure(cell.cpu_ms_per_clip, 1))
            for cell in result.cells
            if cell.workload == workload
        ]
        found.append(table((head, "clips/s", "CPU ms a clip"), rows) if rows else "")
    rows = [
        (
            f"{fact['num_rows']:,}",
            f"{fact['file_mib']:.1f}",
            f"{fact['open_s']:.2f}",
            f"{fact['first_batch_s']:.2f}",
            f"{fact['memory_mib']:.0f}",
            f"{fact['clips_per_s']:.1f}",
        )
        for fact in result.facts
    ]
    head = ("rows", "file MiB", "open s", "batch of step 1,000,000 s", "memory MiB", "clips/s")
    found.append(table(head, rows) if rows else "")
    return found


def _trainer_table(result: SuiteResult) -> str:
    if not result.facts:
        return ""
    ceiling = result.facts[0]["steps_per_s"]
    rows = [
        (
            fact["fed_by"],
            f"{fact['steps_per_s']:.2f}",
            f"{fact['steps_per_s'] / ceiling:.2f}",
            f"{fact['wait_share']:.0%}",
        )
        for fact in result.facts
    ]
    return table(("fed by", "steps/s", "of the first", "waiting"), rows)


def _objectives_table(result: SuiteResult) -> str:
    rows = []
    for fact in result.facts:
        cached_s, fed_s = Spread(**fact["cached_s"]), Spread(**fact["fed_s"])
        rows.append(
            (
                fact["method"],
                f"{1e3 * cached_s.median:.0f}",
                f"{1e3 * fed_s.median:.0f}",
                _figure(Spread(**fact["fed_over_cached"]), 2),
                f"{Spread(**fact['wait_share']).median:.0%}",
                f"{fact['recipe_steps']}",
                f"{fed_s.median * fact['recipe_steps']:.0f}",
            )
        )
    head = ("objective", "ms on a cached batch", "ms fed by the stream", "fed / cached", "waiting")
    head += ("steps of the recipe", "s for all")
    return table(head, rows) if rows else ""


def _absent(result: SuiteResult) -> str:
    if not result.absent:
        return ""
    lines = [f"- {name}: {' '.join(reason.split())}" for name, reason in result.absent.items()]
    return "\n".join(["Not measured:", "", *lines])


def _figure(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"
