"""Is the representation alive? Measures of collapse, taken from the features of a training batch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import nn

from avrep.losses.hypersphere import uniformity
from avrep.models.features import Encoder, Features
from avrep.objectives.base import Objective

# Features of unrelated clips that spread less than this are collapsed (avrep default).
_COLLAPSED_STD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureHealth:
    feature_std: float
    """Mean over dimensions of the standard deviation over clips of l2-normalised features, times
    sqrt(d): 1 when features fill the sphere evenly, 0 when all clips have the same feature."""
    feature_rank: float
    """Effective rank of the features about their mean (`effective_rank`)."""
    feature_uniformity: float
    """`avrep.losses.hypersphere.uniformity`: 0 when all clips have the same feature, lower the more
    evenly they spread."""


def feature_health(features: torch.Tensor) -> FeatureHealth:
    """Measure features float[b d] of unrelated clips, b at least 2."""
    features = nn.functional.normalize(features.detach().float(), dim=1)
    width = features.shape[1]
    std = features.std(dim=0, correction=0).mean() * width**0.5
    centred = features - features.mean(dim=0)
    return FeatureHealth(
        feature_std=float(std),
        feature_rank=effective_rank(centred),
        feature_uniformity=float(uniformity(features)),
    )


def collapsed(numbers: Mapping[str, object]) -> tuple[str, ...]:
    """Which encoders gave all clips nearly the same feature, of those that a metrics line tells of.

    Args:
        numbers: with the names that `HealthWatch.measure` gives.

    Returns:
        "video", "audio", or "the encoder" where a run has one.
    """
    return tuple(
        name.removesuffix("feature_std").rstrip("_") or "the encoder"
        for name, value in numbers.items()
        if name.endswith("feature_std")
        and isinstance(value, int | float)
        and value < _COLLAPSED_STD
    )


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


class HealthWatch:
    """Watches every encoder of an objective; made by `watch_health`."""

    def __init__(self, objective: Objective, watches: Mapping[str, FeatureWatch]) -> None:
        self._objective = objective
        self._watches = watches

    def measure(self, num_items: int) -> dict[str, float]:
        """The measures of `FeatureHealth` of the last batch that each encoder was given.

        Names are those of its fields; with the encoder's in front ("audio_feature_std") where there
        are several. Of each item, one row is measured; an encoder that was given fewer than two
        items is left out.

        Args:
            num_items: items in this rank's batch.
        """
        found: dict[str, float] = {}
        for kind, watch in self._watches.items():
            if watch.pooled is None:
                continue
            rows = one_row_an_item(watch.pooled, num_items, items_first=self._objective.items_first)
            if len(rows) > 1:
                prefix = f"{kind}_" if len(self._watches) > 1 else ""
                health = asdict(feature_health(rows))
                found |= {f"{prefix}{name}": value for name, value in health.items()}
        return found


def one_row_an_item(pooled: torch.Tensor, num_items: int, *, items_first: bool) -> torch.Tensor:
    """Of features float[r d], r a multiple of the items, one row of each: features of unrelated clips.

    Args:
        pooled: what an encoder gave.
        num_items: items in the batch.
        items_first: an item's rows stand side by side; else one view of all items stands first.
    """
    if items_first and len(pooled) > num_items:
        return pooled[:: len(pooled) // num_items][:num_items]
    return pooled[:num_items]


@contextmanager
def watch_health(objective: Objective) -> Iterator[HealthWatch]:
    """Keep what each of an objective's encoders gave last, while the context lasts."""
    with ExitStack() as stack:
        watches = {
            kind: stack.enter_context(watch_features(encoder))
            for kind, encoder in objective.encoders().items()
        }
        yield HealthWatch(objective, watches)
