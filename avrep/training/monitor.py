"""Is the representation alive? Measures of collapse, taken from the features of a training batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from avrep.models.features import Encoder, Features


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureHealth:
    feature_std: float
    """Mean over dimensions of the standard deviation over clips of l2-normalised features, times
    sqrt(d): 1 when features fill the sphere evenly, 0 when all clips have the same feature."""
    feature_rank: float
    """Effective rank of the features about their mean (`effective_rank`)."""


def feature_health(features: torch.Tensor) -> FeatureHealth:
    """Measure features float[b d] of unrelated clips, b at least 2."""
    features = nn.functional.normalize(features.detach().float(), dim=1)
    width = features.shape[1]
    std = features.std(dim=0, correction=0).mean() * width**0.5
    centred = features - features.mean(dim=0)
    return FeatureHealth(feature_std=float(std), feature_rank=effective_rank(centred))


def effective_rank(matrix: torch.Tensor) -> float:
    """Exp of the entropy of the normalised singular values (Roy and Vetterli, EUSIPCO 2007).

    Between 1 and min(b, d); 0 for a matrix of zeros.
    """
    singular = torch.linalg.svdvals(matrix.double())
    total = singular.sum()
    if total < 1e-12:
        return 0.0
    share = singular / total
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


class FeatureWatch:
    """Holds the pooled features that an encoder gave last, so that measuring costs no forward."""

    def __init__(self) -> None:
        self.pooled: torch.Tensor | None = None

    def _keep(self, _module: nn.Module, _inputs: object, output: Features | torch.Tensor) -> None:
        pooled = output.pooled if isinstance(output, Features) else output
        self.pooled = pooled.detach()


@contextmanager
def watch_features(encoder: Encoder) -> Iterator[FeatureWatch]:
    """Keep the encoder's last pooled features while the context lasts."""
    watch = FeatureWatch()
    handle = encoder.watched.register_forward_hook(watch._keep)
    try:
        yield watch
    finally:
        handle.remove()
