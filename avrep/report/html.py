"""The run report: one HTML file that any browser opens without a network or scripts.

Everything that came from a file is escaped, and the page's own policy forbids scripts and fetches,
so that a file name in a corpus can neither run nor phone home.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np

from avrep.report.comparisons import Comparison, Verdict, compare
from avrep.report.health import health_html, nested_facts
from avrep.report.incidents import incidents_html
from avrep.report.learning import learning_html
from avrep.report.results_table import results_html
from avrep.report.run_files import Metrics, RunFiles, read_run
from avrep.report.speed import run_verdict
from avrep.report.wording import duration, escape, number
from avrep.training.verdict import Bottleneck

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_DATE_KEYS = ("date", "started_at", "started", "time")


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` into a run's folder and returns its path.

    Parts of the run that are absent are left out of the page; files that cannot be read are named
    on it.

    Raises:
        ConfigError: `run_dir` is not a run's folder.
    """
    page = report_html(read_run(run_dir))
    path = run_dir / "report.html"
    # A reader that looks while we write must never see half a page.
    part = run_dir / ".report.html.part"
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path


def report_html(run: RunFiles) -> str:
    """The whole page."""
    comparisons = compare(run.results)
    style = resources.files("avrep.report").joinpath("report.css").read_text(encoding="utf-8")
    parts = (
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(run_name(run))} - avrep report</title><style>{style}</style></head>",
        f"<body><main>{_header(run)}{_key_figures(run, comparisons)}",
        _notes(run.notes),
        _results(comparisons, _objective(run.config)),
        learning_html(run.metrics),
        incidents_html(run.incidents, run.name),
        _contact_sheet(run),
        _data(run),
        _settings(run),
        f"<footer>Written by avrep {escape(run.environment.get('avrep', ''))}</footer>",
        "</main></body></html>\n",
    )
    return "".join(parts)


# What an objective has no reason to learn, said where the results stand.
_CAVEATS = {
    "cvrl": "CVRL learns what tells videos apart. Where backgrounds and colours do that already, it "
    "has no reason to learn motion or shape, and may lose what a random encoder happens to pass on."
}


def run_name(run: RunFiles) -> str:
    """The config's `name`, or the folder's."""
    name = run.config.get("name")
    return name if isinstance(name, str) and name else run.name


def _objective(config: Mapping[str, object]) -> str:
    """What was trained, as far as the config says: a name, a part with a kind, or several."""
    found = config.get("objective", config.get("objectives"))
    parts = found if isinstance(found, list) else [found]
    names: list[str] = []
    for part in parts:
        if isinstance(part, dict):
            kind = next((part[k] for k in ("kind", "method", "name", "type") if k in part), None)
            inner = [str(key) for key, value in part.items() if isinstance(value, dict)]
            names += [kind] if isinstance(kind, str) else inner
        elif isinstance(part, str):
            names.append(part)
    return " + ".join(names)


def _header(run: RunFiles) -> str:
    date = next((str(run.environment[k]) for k in _DATE_KEYS if run.environment.get(k)), "")
    if not date:
        written = datetime.fromtimestamp(run.written_s, UTC)
        date = f"last written {written:%Y-%m-%d %H:%M} UTC"
    facts = [_objective(run.config), date, str(run.environment.get("device") or "")]
    if commit := run.environment.get("commit"):
        facts.append(f"commit {str(commit)[:12]}")
    line = " \u00b7 ".join(escape(fact, 200) for fact in facts if fact)
    return f"<header><h1>{escape(run_name(run), 200)}</h1><p class='subtitle'>{line}</p></header>"


def _key_figures(run: RunFiles, comparisons: tuple[Comparison, ...]) -> str:
    figures: list[tuple[str, str, str]] = []
    metrics = run.metrics
    last = {
        key: float(values[np.isfinite(values)][-1])
        for key, values in metrics.columns.items()
        if np.isfinite(values).any()
    }
    if len(metrics.steps):
        total = last.get("total_steps")
        of = f"of {number(total)}" if total is not None else ""
        figures.append(("Steps", f"{int(metrics.steps[-1]):,}", of))
    if "elapsed_s" in last:
        # Each line's time is that of the steps since the line before.
        total_s = float(np.nansum(metrics.columns["elapsed_s"]))
        figures.append(("Time in training", duration(total_s), ""))
    if "loss" in last:
        first = metrics.columns["loss"][np.isfinite(metrics.columns["loss"])][0]
        figures.append(("Loss", number(last["loss"]), f"from {number(float(first))}"))
    if "clips_per_s" in last:
        middle = float(np.nanmedian(metrics.columns["clips_per_s"]))
        figures.append(("Clips per second", number(middle), "median"))
    if waited := _waiting_figure(metrics):
        figures.append(("Waiting for data", *waited))
    measured = [c for c in comparisons if c.verdict is not Verdict.NOT_MEASURED]
    if measured:
        better = sum(c.verdict is Verdict.BETTER for c in measured)
        worse = sum(c.verdict is Verdict.WORSE for c in measured)
        below = "better than untrained" + (f", {worse} worse" if worse else "")
        figures.append(("Measurements", f"{better} of {len(measured)}", below))
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{value}{f'<small>{below}</small>' if below else ''}</dd></div>"
        for name, value, below in figures
    )
    return f"<dl class='figures'>{rows}</dl>" if rows else ""


def _waiting_figure(metrics: Metrics) -> tuple[str, str] | None:
    """The share of the time, and what it was for where that is the run's bottleneck."""
    if found := run_verdict(metrics):
        named = found.bottleneck.is_waiting and found.bottleneck is not Bottleneck.STREAM
        below = "of the time" + (f", mostly for {found.bottleneck}" if named else "")
        return f"{found.wait_share * 100:.1f} %", below
    shares = metrics.columns.get("wait_share")
    if shares is None or not np.isfinite(shares).any():
        return None
    return f"{float(np.nanmedian(shares)) * 100:.1f} %", "of the time, median"


def _notes(notes: tuple[str, ...]) -> str:
    if not notes:
        return ""
    lines = "".join(f"<li>{escape(note, 400)}</li>" for note in notes)
    return (
        "<section class='card warning'><h2>Not everything could be read</h2>"
        f"<ul>{lines}</ul></section>"
    )


def _results(comparisons: tuple[Comparison, ...], objective: str) -> str:
    if not comparisons:
        return _card("Results", "<p class='note'>No evaluation was found in this run.</p>")
    legend = (
        "<ul class='legend'>"
        "<li><svg viewBox='0 0 34 14'><line class='ci pretrained' x1='3' x2='31' y1='7' y2='7'/>"
        "<circle class='dot pretrained' cx='17' cy='7' r='4.5'/></svg>pretrained</li>"
        "<li><svg viewBox='0 0 34 14'><line class='ci untrained' x1='3' x2='31' y1='7' y2='7'/>"
        "<circle class='dot untrained' cx='17' cy='7' r='4.5'/></svg>untrained</li>"
        "<li><svg viewBox='0 0 34 14'><line class='chance' x1='17' x2='17' y1='0' y2='14'/></svg>"
        "chance</li></ul>"
    )
    levels = sorted({row.confidence for c in comparisons for row in c.rows})
    said = " or ".join(f"{level * 100:g} %" for level in levels)
    words = (
        "<p class='note'>The untrained encoder has the same architecture and random weights. The "
        "difference is pretrained minus untrained on the same test videos; it counts as better or "
        f"worse only when its interval ({said}) excludes zero. Of so many measurements a few do by "
        "luck alone.</p>"
    )
    if objective in _CAVEATS:
        words += f"<p class='note'>{_CAVEATS[objective]}</p>"
    return _card("Results", words + legend + results_html(comparisons))


def _contact_sheet(run: RunFiles) -> str:
    if "contact_sheet.png" not in run.pictures:
        return ""
    words = "<p class='note'>Clips after decoding and augmentation: what the model sees.</p>"
    return _card("Contact sheet", words + _picture(run, "contact_sheet.png", "contact sheet"))


def _picture(run: RunFiles, name: str, alt: str) -> str:
    data = base64.b64encode(run.pictures[name]).decode("ascii")
    return f"<img class='picture' alt='{alt}' src='data:image/png;base64,{data}'>"


def _data(run: RunFiles) -> str:
    parts = health_html(run.health)
    if "corpus.png" in run.pictures:
        parts += f"<figure>{_picture(run, 'corpus.png', 'the corpus in charts')}</figure>"
    for name, health in run.corpora.items():
        parts += f"<h3>Corpus {escape(name, 60)}</h3>{health_html(health)}"
    return _card("Data health", parts or "<p class='note'>No health file in this run.</p>")


def _settings(run: RunFiles) -> str:
    parts = ""
    if run.config_text:
        text = escape(run.config_text, limit=1 << 20)
        parts += f"<details><summary>Config</summary><pre>{text}</pre></details>"
    if run.environment:
        facts = nested_facts(run.environment)
        parts += f"<details><summary>Environment</summary>{facts}</details>"
    return _card("How it was run", parts) if parts else ""


def _card(title: str, inside: str) -> str:
    return f"<section class='card'><h2>{title}</h2>{inside}</section>"
