"""Schedules as pure functions of the step: nothing to save, nothing to replay on resume."""

import math
from collections.abc import Sequence

from avrep.errors import ConfigError


def cosine_with_warmup(
    step: int,
    total_steps: int,
    warmup_steps: int,
    peak: float,
    final: float = 0.0,
    first: float = 0.0,
) -> float:
    """The value at `step`: a line from `first` to `peak`, then half a cosine to `final`.

        step < warmup_steps:  first + (peak - first) * step / warmup_steps
        otherwise:            final + (peak - final) * (1 + cos(pi * p)) / 2,
                              p = (step - warmup_steps) / (total_steps - warmup_steps)

    The first step's value is `first` when there is a warm-up, 0 in CVRL's released code; `peak` is met
    exactly at step warmup_steps, `final` at total_steps and after. (Loshchilov and Hutter, arXiv
    1608.03983, equation 5, one period; warm-up of Goyal et al., arXiv 1706.02677.) In CVRL's
    released code the cosine already runs beneath the warm-up, so that its peak is 0.15 % lower;
    here it begins when the warm-up ends.

    Args:
        step: from 0; steps beyond the end give `final`.
        total_steps: steps of the run, at least 1.
        warmup_steps: in [0, total_steps].
        peak: value at the end of the warm-up.
        final: value at the end.
        first: value at step 0, if there is a warm-up.

    Raises:
        ConfigError: steps out of range.
    """
    risen, fallen = _progress(step, total_steps, warmup_steps)
    if risen < 1:
        return first + (peak - first) * risen
    return final + (peak - final) * (1 + math.cos(math.pi * fallen)) / 2


def line_with_warmup(
    step: int,
    total_steps: int,
    warmup_steps: int,
    peak: float,
    final: float = 0.0,
    first: float = 0.0,
) -> float:
    """As `cosine_with_warmup`, but straight down: final + (peak - final) * (1 - p).

    fairseq's polynomial decay of power 1, which wav2vec 2.0 and HuBERT are trained with. Arguments
    and errors are those of `cosine_with_warmup`.
    """
    risen, fallen = _progress(step, total_steps, warmup_steps)
    if risen < 1:
        return first + (peak - first) * risen
    return final + (peak - final) * (1 - fallen)


def steps_with_warmup(
    step: int,
    total_steps: int,
    warmup_steps: int,
    peak: float,
    drops: Sequence[int],
    factor: float = 0.1,
    first: float = 0.0,
) -> float:
    """As `cosine_with_warmup` up to the peak; then times `factor` at each of the steps `drops`.

    Args:
        step: from 0.
        total_steps: steps of the run, at least 1.
        warmup_steps: in [0, total_steps].
        peak: value at the end of the warm-up.
        drops: steps from which on the value is lower once more.
        factor: of each drop.
        first: value at step 0, if there is a warm-up.

    Raises:
        ConfigError: steps out of range.
    """
    risen, _ = _progress(step, total_steps, warmup_steps)
    if risen < 1:
        return first + (peak - first) * risen
    return peak * factor ** sum(step >= drop for drop in drops)


def _progress(step: int, total_steps: int, warmup_steps: int) -> tuple[float, float]:
    """How much of the warm-up and of what follows it is done, in [0, 1] each."""
    if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
        raise ConfigError(
            f"warmup_steps is {warmup_steps} of total_steps {total_steps}: it must lie in "
            f"[0, total_steps] and total_steps be at least 1; shorten the warm-up or train longer"
        )
    if step < 0:
        raise ConfigError(f"step is {step}: steps count from 0")
    if step >= total_steps:
        return 1.0, 1.0
    if step < warmup_steps:
        return step / warmup_steps, 0.0
    return 1.0, (step - warmup_steps) / (total_steps - warmup_steps)
