"""When a loss stands out from those before it."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from avrep.frozen import FrozenConfig

# Fewer losses than these tell too little of how far they usually lie apart.
_LEAST_LOSSES = 20
# Of a normal distribution: its standard deviation over its median absolute deviation.
_DEVIATION_OF_MAD = 1.4826
# A loss that hardly moves would otherwise stand out at every breath.
_LEAST_SHARE = 0.01


class SpikeConfig(FrozenConfig):
    """Which losses are told of as spikes; training goes on through them (avrep defaults)."""

    deviations: float = Field(default=10.0, gt=0)
    """How far above the median of the steps before a loss must lie, in robust standard deviations."""
    window_steps: int = Field(default=100, ge=_LEAST_LOSSES, le=100_000)
    """How many steps before it are compared."""


def spike_limit(losses: Sequence[float], deviations: float) -> float:
    """The loss above which the next step is a spike: median + deviations * s.

    s is 1.4826 times the median absolute deviation from the median (Hampel, JASA 1974), which for
    normal losses is their standard deviation and which a few spikes among them do not move; at least
    0.01 of the median's size (avrep default).

    Args:
        losses: of the steps before, in any order, all finite.
        deviations: see `SpikeConfig`.

    Returns:
        Infinity where there are fewer than 20 losses.
    """
    if len(losses) < _LEAST_LOSSES:
        return float("inf")
    values = np.asarray(losses, np.float64)
    middle = float(np.median(values))
    spread = _DEVIATION_OF_MAD * float(np.median(np.abs(values - middle)))
    return middle + deviations * max(spread, _LEAST_SHARE * abs(middle))
