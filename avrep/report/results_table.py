"""The results table of the report: one table for each task, protocol and metric.

Each row draws its intervals on the table's common scale: a filled dot for the pretrained encoder, a
hollow one for the untrained, a dashed line for chance.
"""

from collections.abc import Sequence
from itertools import groupby

from avrep.evaluation.results import EvalRow
from avrep.report.comparisons import Comparison, Verdict
from avrep.report.curves import nice_ticks
from avrep.report.wording import escape, number

SCALE_WIDTH_PX = 240.0
SCALE_PAD_PX = 12.0
# When nothing in a table comes higher than this, a scale up to one would hide the differences.
_SMALL = 0.3
_VERDICT_CLASS = {
    Verdict.BETTER: "good",
    Verdict.WORSE: "bad",
    Verdict.NOT_SHOWN: "even",
    Verdict.NOT_MEASURED: "even",
}
_PROTOCOLS = {
    "instance": "Finding the other clip of the same video",
    "linear": "Linear probe on frozen features",
    "knn": "k nearest neighbours on frozen features",
    "retrieval": "Retrieval of videos with the same label",
}
# One metric of each protocol leads; the others stand below, folded up.
_LEADING = {"instance": "R@1", "linear": "top1", "knn": "top1", "retrieval": "R@1"}
_METRICS = {
    "top1": "Share of the test videos given the right label (top1).",
    "mean_class": "Mean over the labels of the share of videos given the right one (mean_class).",
    "R@1": "Share of the test videos whose nearest neighbour is a right one (R@1).",
    "MRR": "Mean over the test videos of one over the rank of the first right one (MRR).",
}


def results_html(comparisons: Sequence[Comparison]) -> str:
    """Every comparison, grouped; none is left out for showing nothing."""
    leading: list[str] = []
    others: list[str] = []
    for key, rows in groupby(sorted(comparisons, key=_place), key=_group):
        _, protocol, metric = key
        tables = leading if metric == _LEADING.get(protocol, metric) else others
        tables.append(_table(*key, tuple(rows)))
    if not leading:
        return "".join(others)
    folded = f"<details><summary>More metrics</summary>{''.join(others)}</details>"
    return "".join(leading) + (folded if others else "")


def scale_top(comparisons: Sequence[Comparison]) -> float:
    """Right end of a table's common scale, which begins at zero: one, or less for small numbers."""
    measured = [row for c in comparisons for row in (c.pretrained, c.untrained) if row]
    top = max((max(row.ci_high, row.chance) for row in measured), default=1.0)
    return nice_ticks(0.0, top, 4)[-1] if 0 < top < _SMALL else 1.0


def _place(comparison: Comparison) -> tuple[str, int, str, int, str]:
    """In reading order; R@5 before R@10."""
    task, protocol, metric = _group(comparison)
    known = list(_PROTOCOLS)
    rank = known.index(protocol) if protocol in known else len(known)
    return task, rank, protocol, len(metric), metric


def _group(comparison: Comparison) -> tuple[str, str, str]:
    row = comparison.rows[0]
    return row.task, row.protocol, row.metric


def _table(task: str, protocol: str, metric: str, rows: tuple[Comparison, ...]) -> str:
    top = scale_top(rows)
    title = escape(_PROTOCOLS.get(protocol, protocol))
    head = "".join(
        f"<th scope='col'{kind}>{name}</th>"
        for name, kind in (
            ("Label", ""),
            (_axis(top), " class='scale'"),
            ("Pretrained", " class='num'"),
            ("Untrained", " class='num'"),
            ("Chance", " class='num'"),
            ("Difference", " class='num'"),
            ("Verdict", ""),
        )
    )
    body = "".join(_row(row, top) for row in rows)
    return (
        f"<section class='results'><h3>{escape(task)}: {title}</h3>"
        f"<p class='note'>{_METRICS.get(metric, escape(metric))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


def _row(row: Comparison, top: float) -> str:
    verdict = row.verdict
    below = "" if row.clears_chance else "<small>does not clear chance</small>"
    return (
        f"<tr><th scope='row'>{escape(row.rows[0].label)}<small>{_details(row.rows[0])}</small></th>"
        f"<td class='scale'>{_intervals(row, top)}</td>"
        f"<td class='num' data-name='Pretrained'>{_value(row.pretrained)}</td>"
        f"<td class='num' data-name='Untrained'>{_value(row.untrained)}</td>"
        f"<td class='num' data-name='Chance'>{number(None) if row.chance is None else f'{row.chance:.3f}'}</td>"
        f"<td class='num' data-name='Difference'>{_value(row.difference)}</td>"
        f"<td data-name='Verdict'><span class='verdict {_VERDICT_CLASS[verdict]}'>{verdict}</span>"
        f"{below}</td></tr>"
    )


def _details(row: EvalRow) -> str:
    """What the number was taken over, in small print."""
    details = [f"{row.num_test:,} videos"]
    if row.num_clusters != row.num_test:
        details.append(f"{row.num_clusters:,} groups")
    if row.fold is not None:
        details.append(f"fold {row.fold}")
    if row.over != "videos":
        details.append(row.over)
    details.append(f"seed {row.seed}")
    if row.note:
        details.append(escape(row.note, 120))
    return ", ".join(details)


def _value(row: EvalRow | None) -> str:
    if row is None:
        return number(None)
    form = "+.3f" if row.encoder == "difference" else ".3f"
    interval = f"{row.ci_low:{form}} to {row.ci_high:{form}}"
    return f"<b title='{row.value!r}'>{row.value:{form}}</b><small>{interval}</small>"


def _at_px(value: float, top: float) -> float:
    return SCALE_PAD_PX + min(max(value / top, 0.0), 1.0) * (SCALE_WIDTH_PX - 2 * SCALE_PAD_PX)


def _axis(top: float) -> str:
    marks = "".join(
        f"<text class='tick' x='{_at_px(tick, top):.1f}' y='12' text-anchor='middle'>{tick:g}</text>"
        for tick in (0.0, top / 2, top)
    )
    return f"<svg viewBox='0 0 {SCALE_WIDTH_PX:g} 16' role='img'><title>scale</title>{marks}</svg>"


def _intervals(row: Comparison, top: float) -> str:
    left, right = _at_px(0.0, top), _at_px(top, top)
    parts = [f"<line class='axis' x1='{left:.2f}' x2='{right:.2f}' y1='17' y2='17'/>"]
    if row.chance is not None:
        at = _at_px(row.chance, top)
        parts.append(f"<line class='chance' x1='{at:.2f}' x2='{at:.2f}' y1='1' y2='33'/>")
    for shown, y in ((row.pretrained, 11), (row.untrained, 23)):
        if shown is None:
            continue
        low, at, high = (_at_px(v, top) for v in (shown.ci_low, shown.value, shown.ci_high))
        parts.append(
            f"<line class='ci {shown.encoder}' x1='{low:.2f}' x2='{high:.2f}' y1='{y}' y2='{y}'/>"
            f"<circle class='dot {shown.encoder}' cx='{at:.2f}' cy='{y}' r='4.5'/>"
        )
    inside = "".join(parts)
    return f"<svg viewBox='0 0 {SCALE_WIDTH_PX:g} 34' role='img'><title>intervals</title>{inside}</svg>"
