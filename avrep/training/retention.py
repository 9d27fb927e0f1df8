"""Which checkpoints are kept: the newest, and the best by a metric that the run logs."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig


class KeepBest(FrozenConfig):
    """The checkpoint with the best value of a logged metric stays, however old."""

    metric: str = Field(min_length=1)
    """As `metrics.jsonl` names it: `loss`, or what a probe is logged as."""
    mode: Literal["min", "max"] = "min"
    """Whether the least or the greatest value is the best."""


def kept_steps(
    steps: Sequence[int], keep_last: int, values: Mapping[int, float], mode: Literal["min", "max"]
) -> frozenset[int]:
    """The checkpoints that stay.

    Args:
        steps: of all checkpoints.
        keep_last: as many of the newest stay.
        values: the metric at each step that has one. The best of them stays too, of equals the
            earliest; one that is not finite is never the best.
        mode: which value is the best.
    """
    newest = frozenset(sorted(steps)[-keep_last:])
    usable = {
        step: values[step] for step in sorted(steps) if math.isfinite(values.get(step, math.nan))
    }
    if not usable:
        return newest
    best = (min if mode == "min" else max)(usable, key=usable.__getitem__)
    return newest | {best}


class LoggedMean:
    """Means of what was logged since they were last asked for.

    One value of a loss is one batch's; between two checkpoints there are more.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._names: set[str] = set()

    def add(self, numbers: Mapping[str, float | str]) -> None:
        """Remember what one line says; words are passed over."""
        for name, value in numbers.items():
            if not isinstance(value, str):
                self._values.setdefault(name, []).append(value)
                self._names.add(name)

    def take(self) -> dict[str, float]:
        """The mean of each number since the last time, and begin anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values = {}
        return means

    def check_named(self, keep_best: KeepBest | None) -> None:
        """Refuse a metric that nothing was logged as; asked at a checkpoint.

        Raises:
            ConfigError: saying what is logged.
        """
        if keep_best is None or not self._names or keep_best.metric in self._names:
            return
        raise ConfigError(
            f"train.keep_best.metric: no {keep_best.metric!r} was logged before the checkpoint; "
            f"name one of {', '.join(sorted(self._names))}, or log it at least as often as "
            "checkpoints are written"
        )
