"""Curves as SVG text: crisp at any size, coloured by the page's own style sheet.

Long runs are thinned to one point a bucket; the line is the bucket's mean and the band behind it
runs from its smallest to its largest value, so that no spike is lost.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from avrep.report.wording import number

_WIDTH, _HEIGHT = 380.0, 176.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 8.0, 26.0
_NUM_BUCKETS = 200
# Above this ratio of largest to smallest, a linear axis would hide most of the curve.
_LOG_RATIO = 100.0
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """A curve with at most one point a bucket; n points with a value."""

    steps: Annotated[Floats, "n"]
    mean: Annotated[Floats, "n"]
    low: Annotated[Floats, "n"]
    high: Annotated[Floats, "n"]


def thin(steps: npt.NDArray[np.int64], values: Floats, num_buckets: int) -> Thinned:
    """Thins a curve to `num_buckets` buckets of equal width in steps; NaN values are left out."""
    there = np.isfinite(values)
    x, y = steps[there].astype(np.float64), values[there]
    if len(x) <= num_buckets:
        return Thinned(steps=x, mean=y, low=y, high=y)
    edges = np.linspace(x[0], x[-1], num_buckets + 1)[1:-1]
    starts = np.unique(np.concatenate([[0], np.searchsorted(x, edges)]))
    starts = starts[starts < len(x)]
    counts = np.diff(np.append(starts, len(x)))
    return Thinned(
        steps=np.add.reduceat(x, starts) / counts,
        mean=np.add.reduceat(y, starts) / counts,
        low=np.minimum.reduceat(y, starts),
        high=np.maximum.reduceat(y, starts),
    )


def nice_ticks(low: float, high: float, num_wanted: int) -> tuple[float, ...]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high]."""
    size = max(abs(low), abs(high))
    # A span near the rounding of its own ends would give ticks that are all the same number.
    span = max(high - low, 1e-9 * size) if high > low else size
    span = span if span > 1e-300 else 1.0
    raw = span / max(1, num_wanted - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    apart = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / apart + 1e-9), math.ceil(high / apart - 1e-9)
    return tuple(float(f"{i * apart:.12g}") for i in range(first, max(last, first + 1) + 1))


def draw_curve(
    steps: npt.NDArray[np.int64],
    values: Floats,
    *,
    title: str,
    from_zero: bool = False,
    as_percent: bool = False,
    broken_at: tuple[int, ...] = (),
) -> str:
    """One curve over the steps as an `<svg>` element with axes.

    Args:
        steps: ascending.
        values: NaN where the step has none; at least one must be finite.
        title: what a screen reader says; must be escaped already.
        from_zero: the axis begins at zero even when the values do not come near it.
        as_percent: values are shares, and the axis goes from 0 to 100 %.
        broken_at: steps whose value was NaN or infinite; marked along the bottom.
    """
    curve = thin(steps, values, _NUM_BUCKETS)
    low, high = float(curve.low.min()), float(curve.high.max())
    log = not as_percent and low > 0 and high / low > _LOG_RATIO
    bottom, top = (0.0, 1.0) if as_percent else _ends(low, high, log=log, from_zero=from_zero)
    x_low, x_high = float(steps[0]), float(max(steps[-1], steps[0] + 1))
    x = _LEFT + (curve.steps - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(value: Floats) -> Floats:
        at, first, last = np.asarray(value), bottom, top
        if log:
            at, first, last = np.log10(at), math.log10(bottom), math.log10(top)
        return _HEIGHT - _BOTTOM - (at - first) / (last - first) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [*_begin(title)]
    for tick in _SHARES if as_percent else _y_ticks(bottom, top, log=log):
        label = f"{tick * 100:g} %" if as_percent else _tick_label(tick)
        parts.append(_grid_line(float(y_of(np.array(tick))), label))
    parts += _x_axis(x_low, x_high)
    if np.any(curve.high > curve.low):
        edge = [*zip(x, y_of(curve.high), strict=True)]
        edge += reversed([*zip(x, y_of(curve.low), strict=True)])
        parts.append(f'<polygon class="band" points="{_points(edge)}"/>')
    line = [*zip(x, y_of(curve.mean), strict=True)]
    parts.append(f'<polyline class="line" points="{_points(line)}"/>')
    parts.append(f'<circle class="end" cx="{line[-1][0]:.1f}" cy="{line[-1][1]:.1f}" r="3"/>')
    parts += _broken_marks(broken_at, x_low, x_high)
    return "".join([*parts, "</svg>"])


def draw_shares(began: float, ends: Floats, layers: Mapping[str, Floats], *, title: str) -> str:
    """Shares of a whole as stacked bars over the steps, in an `<svg>` element with axes.

    Args:
        began: the step at which the first bar begins; each other begins where the one before ends.
        ends: the steps at which the bars end, ascending.
        layers: by CSS class, from the bottom up, the shares in [0, 1] of each bar.
        title: what a screen reader says; must be escaped already.
    """
    low, high = began, max(float(ends[-1]), began + 1)
    x = _LEFT + (np.append(began, ends) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
    tall = _HEIGHT - _TOP - _BOTTOM
    parts = [*_begin(title)]
    parts += [_grid_line(_HEIGHT - _BOTTOM - tick * tall, f"{tick * 100:g} %") for tick in _SHARES]
    parts += _x_axis(low, high)
    bottom = np.full(len(ends), _HEIGHT - _BOTTOM)
    for name, shares in layers.items():
        top = bottom - shares * tall
        # One path a layer: hundreds of rectangles would be most of the page.
        path = "".join(
            f"M{left:.1f} {low_y:.1f}V{high_y:.1f}H{right:.1f}V{low_y:.1f}z"
            for left, right, low_y, high_y in zip(x[:-1], x[1:], bottom, top, strict=True)
            if low_y - high_y > 0
        )
        parts.append(f'<path class="part {name}" d="{path}"/>')
        bottom = top
    return "".join([*parts, "</svg>"])


def _begin(title: str) -> tuple[str, str]:
    opened = f'<svg class="curve" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img">'
    return opened, f"<title>{title}</title>"


def _grid_line(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 7:g}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _ends(low: float, high: float, *, log: bool, from_zero: bool) -> tuple[float, float]:
    """The ends of the value axis: a little beyond the curve, or at zero."""
    if log:
        return low / 1.15, high * 1.15
    if from_zero and low >= 0:
        return 0.0, 1.08 * high or 1.0
    ticks = nice_ticks(low, high, 4)
    room = 0.06 * (high - low) if high - low > 1e-8 * abs(high) else ticks[1] - ticks[0]
    return low - room, high + room


def _y_ticks(bottom: float, top: float, *, log: bool) -> list[float]:
    if log:
        first, last = math.ceil(math.log10(bottom)), math.floor(math.log10(top))
        apart = max(1, math.ceil((last - first) / 4))
        return [10.0**i for i in range(first, last + 1, apart)]
    return [tick for tick in nice_ticks(bottom, top, 6) if bottom <= tick <= top]


def _x_axis(low: float, high: float) -> list[str]:
    parts: list[str] = []
    for tick in nice_ticks(low, high, 5):
        if not low <= tick <= high:
            continue
        at = _LEFT + (tick - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - 8:g}" text-anchor="middle">'
            f"{_tick_label(tick)}</text>"
        )
    return parts


def _broken_marks(broken_at: tuple[int, ...], low: float, high: float) -> list[str]:
    steps = np.unique(np.linspace(0, len(broken_at) - 1, min(len(broken_at), 200)).astype(int))
    xs = [_LEFT + (broken_at[i] - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT) for i in steps]
    bottom = _HEIGHT - _BOTTOM
    return [
        f'<line class="broken" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom - 8:g}" y2="{bottom:g}"/>'
        for x in xs
    ]


def _tick_label(tick: float) -> str:
    if abs(tick) >= 1e6:
        return f"{tick / 1e6:g}M"
    if abs(tick) >= 1e3:
        return f"{tick / 1e3:g}k"
    return f"{tick:g}" if abs(tick) >= 1e-3 or tick == 0 else number(tick)


def _points(points: list[tuple[np.float64, np.float64]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
