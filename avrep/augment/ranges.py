"""Ranges in configs, as (low, high)."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _ascending(low_high: tuple[float, float]) -> tuple[float, float]:
    if low_high[0] > low_high[1]:
        raise ValueError(f"{low_high} must be (low, high) with low <= high")
    return low_high


Positive = Annotated[float, Field(gt=0, le=1000)]
_PositiveShare = Annotated[float, Field(gt=0, le=1)]
AreaRange = Annotated[tuple[_PositiveShare, _PositiveShare], AfterValidator(_ascending)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
