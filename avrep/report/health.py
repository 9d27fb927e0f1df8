"""What became of the data: how much was read, what was refused, and why."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeGuard

from avrep.report.wording import escape, number

_COUNTS = {
    "num_items": "Items trained on",
    "num_rejects": "Files refused by the index",
    "num_clips": "Clips decoded",
    "num_failed_items": "Items that failed while training",
    "num_bad_packets": "Damaged packets passed over",
    "num_decode_actors": "Decode actors",
}
_DEPTH = 6


def health_html(health: Mapping[str, object]) -> str:
    """Counts, the corpus's own numbers, and the refused items by reason; empty without any."""
    if not health:
        return ""
    counts = {name: health[key] for key, name in _COUNTS.items() if key in health}
    parts = nested_facts(counts) if counts else ""
    parts += _rejects(health)
    corpus = health.get("corpus")
    if isinstance(corpus, dict) and corpus:
        parts += f"<h3>What is in the corpus</h3>{nested_facts(corpus)}"
    known = {*_COUNTS, "rejects", "corpus"}
    rest = {key: value for key, value in health.items() if key not in known}
    return parts + (nested_facts(rest) if rest else "")


def nested_facts(facts: Mapping[str, object], depth: int = 0) -> str:
    """A table of names and values; values that are themselves objects become tables inside."""
    rows: list[str] = []
    for key, value in facts.items():
        if isinstance(value, dict) and depth < _DEPTH:
            said = nested_facts(value, depth + 1) if value else "none"
        elif isinstance(value, list):
            said = escape(", ".join(_plain(v) for v in value), 600)
        else:
            said = escape(_plain(value), 600)
        rows.append(f"<tr><th scope='row'>{escape(_spaced(key), 120)}</th><td>{said}</td></tr>")
    return f"<table class='facts'><tbody>{''.join(rows)}</tbody></table>"


def _rejects(health: Mapping[str, object]) -> str:
    found = health.get("rejects")
    rejects = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
    if not rejects:
        return ""
    stages = Counter(str(r.get("stage", "unknown")) for r in rejects)
    by_stage = ", ".join(f"{escape(stage, 40)} {count}" for stage, count in stages.most_common(8))
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(r.get(name, ''), 300)}</td>" for name in ("key", "stage", "reason"))
        + "</tr>"
        for r in rejects
    )
    total = health.get("num_rejects")
    of = f"{len(rejects)} of {total:,}" if _is_count(total) else str(len(rejects))
    return (
        f"<details><summary>Refused files: {of} shown (by stage: {by_stage})</summary>"
        "<table><thead><tr><th scope='col'>Item</th><th scope='col'>Stage</th>"
        f"<th scope='col'>Reason</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value) if abs(value) < 1e300 else str(value)
    return str(value)


def _spaced(key: str) -> str:
    """A field's name in words, its unit kept: `total_duration_s` gives `total duration (s)`."""
    for unit in ("bytes", "px", "hz", "deg", "s"):
        if key.endswith(f"_{unit}") and not key.endswith(f"_per_{unit}"):
            shown = {"hz": "Hz"}.get(unit, unit)
            return f"{key[: -len(unit) - 1].replace('_', ' ')} ({shown})"
    return key.replace("_", " ")
