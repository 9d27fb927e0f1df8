"""The report's table of steps that something was wrong with."""

from collections.abc import Sequence

from avrep.report.wording import escape, number
from avrep.training.guard import Incident

_MAX_SHOWN = 20
_MAX_KEYS = 3


def incidents_html(incidents: Sequence[Incident], run_name: str) -> str:
    """A card of losses that jumped or were not finite, with their clips; empty without any."""
    if not incidents:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{one.step:,}</th><td>{escape(one.kind, 60)}</td>"
        f"<td>{_number(one.loss)}</td><td>{_number(one.limit)}</td><td>{_keys(one)}</td></tr>"
        for one in incidents[:_MAX_SHOWN]
    )
    more = len(incidents) - _MAX_SHOWN
    words = (
        "A spike is a loss far above the median of the steps before; training goes on through it. "
        "<code>avrep replay RUN --step N</code> makes a step again"
        + (f"; {more:,} more are in {escape(run_name, 80)}/incidents" if more > 0 else "")
    )
    return (
        f"<section class='card'><h2>Incidents</h2><p class='note'>{words}.</p>"
        "<table><thead><tr><th scope='col'>Step</th><th scope='col'>What</th>"
        "<th scope='col'>Loss</th><th scope='col'>Limit</th><th scope='col'>Clips</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _keys(incident: Incident) -> str:
    listed = [key for of_corpus in incident.keys.values() for key in of_corpus]
    more = len(listed) - _MAX_KEYS
    shown = ", ".join(escape(key, 120) for key in listed[:_MAX_KEYS])
    return shown + (f" and {more} more" if more > 0 else "")
