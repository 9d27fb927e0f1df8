"""One encoder's score on every test video by one metric: what rows and intervals are made of."""

import typing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FeatureProtocol = Literal["linear", "knn", "retrieval", "instance"]
"""What is measured on stored features."""
Protocol = FeatureProtocol | Literal["attentive", "finetune"]


class PerItem(typing.Protocol):
    """Scores of test items, whatever they score."""

    @property
    def keys(self) -> tuple[str, ...]: ...
    @property
    def values(self) -> npt.NDArray[np.float64]: ...
    @property
    def weights(self) -> npt.NDArray[np.float64] | None: ...
    @property
    def clusters(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScores:
    """Scores of the test videos, in the order of the test table."""

    protocol: Protocol
    label: str
    """The label set that was asked for, such as "class" or "motion"; "item" for instances."""
    metric: str
    keys: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """In [0, 1], one per video: hit or miss, or a reciprocal rank."""
    weights: npt.NDArray[np.float64] | None
    """Weight of each video in the mean; None: all the same."""
    clusters: tuple[str, ...]
    """Videos with the same name are not independent of one another."""
    chance: float
    """What features that know nothing score."""
    note: str = ""
    """What was chosen on the way, such as the probe's regularisation."""

    def __post_init__(self) -> None:
        sizes = {len(self.keys), len(self.values), len(self.clusters)}
        if len(sizes) != 1 or not self.keys:
            raise ValueError(f"keys, values and clusters must be as many, got {sorted(sizes)}")

    def __repr__(self) -> str:
        return (
            f"VideoScores({self.protocol} {self.label} {self.metric}, {len(self.keys)} videos, "
            f"mean {float(np.average(self.values, weights=self.weights)):.4f})"
        )
