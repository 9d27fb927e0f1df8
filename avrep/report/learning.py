"""The report's curves: what was learned, whether the features live, how fast it ran."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from avrep.report.curves import draw_curve
from avrep.report.run_files import Metrics
from avrep.report.speed import TIME_COLUMNS, time_figure, verdict_html
from avrep.report.wording import escape, number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    title: str
    unit: str = ""
    from_zero: bool = False
    as_percent: bool = False


_LOOKS = {
    "loss": _Look(title="Loss"),
    "lr": _Look(title="Learning rate", from_zero=True),
    "feature_std": _Look(title="Feature standard deviation", from_zero=True),
    "feature_rank": _Look(title="Feature effective rank", from_zero=True),
    "feature_uniformity": _Look(title="Feature uniformity"),
    "alignment": _Look(title="Alignment of two views", from_zero=True),
    "grad_norm": _Look(title="Gradient norm", from_zero=True),
    "clips_per_s": _Look(title="Throughput", unit="clips per second", from_zero=True),
    "wait_share": _Look(title="Time spent waiting for data", as_percent=True),
}
_HEALTH = ("feature_std", "feature_rank", "feature_uniformity", "alignment", "grad_norm")
_PROBE = "probe_knn_"
_SPEED = ("clips_per_s", "wait_share")
_BOOKKEEPING = (
    *("total_steps", "elapsed_s", "epoch", "gpu_peak_bytes", "gpu_bytes", "decode_actors"),
    *TIME_COLUMNS,
)


def learning_html(metrics: Metrics) -> str:
    """Cards of curves; empty when nothing was logged."""
    health = sorted((k for k in metrics.columns if _measure(k)), key=lambda k: (_place(k), k))
    probes = sorted(k for k in metrics.columns if k.startswith(_PROBE))
    known = {*_LOOKS, *_BOOKKEEPING, *health, *probes}
    others = [k for k in metrics.columns if k not in known]
    groups = (
        (
            "Learning",
            "Curves run over the training steps; the dot is the last one. Of a long run, the line is "
            "a mean of neighbouring steps and the band behind it their smallest and largest value.",
            ("loss", "lr", *others),
        ),
        (
            "Probe while training",
            "Weighted kNN on frozen features: how often a held-out video's label is named by the train "
            "videos nearest to it.",
            tuple(probes),
        ),
        (
            "Health of the features",
            "A standard deviation of 1 means that features fill the sphere evenly; near 0, or with a "
            "rank near 1, all clips have collapsed onto the same feature. Uniformity is 0 then, and "
            "lower the more evenly they spread; alignment is the squared distance of two views of one "
            "item, 2 where they are no nearer than strangers.",
            tuple(health),
        ),
    )
    cards = [
        _card(title, _note(words), "".join(_figures(metrics, keys)))
        for title, words, keys in groups
    ]
    return "".join([*cards, _speed_card(metrics)])


def _measure(key: str) -> str | None:
    """Which measure of health a column holds: of a run with several encoders, or of a part of a joint
    objective, it has a name in front.
    """
    return next((name for name in _HEALTH if key == name or key.endswith(f"_{name}")), None)


def _place(key: str) -> int:
    return _HEALTH.index(_measure(key) or "")


def _look(key: str) -> _Look:
    if key.startswith(_PROBE):
        return _Look(title=f"kNN, {key.removeprefix(_PROBE)}", from_zero=True, as_percent=True)
    measure = _measure(key)
    if measure is None or measure == key:
        return _LOOKS.get(key, _Look(title=key))
    whose = key.removesuffix(measure).rstrip("_")
    return replace(_LOOKS[measure], title=f"{_LOOKS[measure].title}, {whose}")


def _speed_card(metrics: Metrics) -> str:
    words, time = verdict_html(metrics), time_figure(metrics)
    if time:
        return _card("Speed", words, time + "".join(_figures(metrics, ("clips_per_s",))))
    words = "Time spent waiting is time that the data did not keep up with the trainer."
    return _card("Speed", _note(words), "".join(_figures(metrics, _SPEED)))


def _note(words: str) -> str:
    return f"<p class='note'>{words}</p>"


def _figures(metrics: Metrics, keys: tuple[str, ...]) -> Iterator[str]:
    return (_figure(metrics, key) for key in keys if key in metrics.columns)


def _card(title: str, words: str, figures: str) -> str:
    if not figures:
        return ""
    return (
        f"<section class='card'><h2>{title}</h2>{words}"
        f"<div class='curves'>{figures}</div></section>"
    )


def _figure(metrics: Metrics, key: str) -> str:
    look = _look(key)
    title = escape(look.title, 80)
    values = metrics.columns[key]
    broken = metrics.not_finite.get(key, ())
    there = values[np.isfinite(values)]
    said = (
        f"<span>not finite at {len(broken):,} steps, first {broken[0]:,}</span>" if broken else ""
    )
    if not len(there):
        return f"<figure><figcaption>{title}{said}</figcaption></figure>"
    if not broken:
        last = f"{there[-1] * 100:.1f} %" if look.as_percent else number(float(there[-1]))
        said = f"<span>last: {last}{f' {look.unit}' if look.unit else ''}</span>"
    svg = draw_curve(
        metrics.steps,
        values,
        title=f"{title} by step",
        from_zero=look.from_zero,
        as_percent=look.as_percent,
        broken_at=broken,
    )
    return f"<figure><figcaption>{title}{said}</figcaption>{svg}</figure>"
