"""Several objectives in one run, on shared encoders: the loss is their weighted sum."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from avrep.augment.video_config import VideoAugmentConfig
from avrep.media.catalog import Catalog
from avrep.models.features import Encoder
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.sampling.spec import ViewSpec, num_views


class Joint(Objective):
    """All parts see the same items in each step: one visit of an item serves them all.

    Each part draws its own clips, since its specs have lanes of their own. Its metrics have its
    name in front. In a mixture the parts on a further corpus are a `Joint` of their own, which sees
    that corpus's items of the step, and whose loss is added.

    Args:
        parts: by name, in the order in which their views stand in a batch.
        weights: of each part's loss in the sum, as many.
        corpora: those on further corpora, by the corpus's name.

    Raises:
        ValueError: two parts have different encoders of one name.
    """

    def __init__(
        self,
        parts: dict[str, Objective],
        weights: Sequence[float],
        corpora: "Mapping[str, Joint] | None" = None,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.others = nn.ModuleDict(corpora or {})
        self._weights = dict(zip(parts, weights, strict=True))
        # What an encoder gave last is measured, and the last part used it last.
        self.items_first = [*parts.values(), *(corpora or {}).values()][-1].items_first
        self.encoders()

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return tuple(spec for _, part in self._named() for spec in part.view_specs())

    def augments(self) -> tuple[VideoAugmentConfig | None, ...]:
        return tuple(augment for _, part in self._named() for augment in part.augments())

    def augment_lanes(self) -> tuple[int, ...]:
        lanes: list[int] = []
        for _, part in self._named():
            first = len(lanes)
            lanes += [first + lane for lane in part.augment_lanes()]
        return tuple(lanes)

    @property
    def compares_items(self) -> bool:
        return any(part.compares_items for _, part in self._all())

    def corpora(self) -> dict[str, Objective]:
        return dict(_named(self.others))

    def encoders(self) -> dict[str, Encoder]:
        found: dict[str, Encoder] = {}
        for name, part in self._all():
            for kind, encoder in part.encoders().items():
                if found.setdefault(kind, encoder) is not encoder:
                    raise ValueError(f"{name} has another {kind} encoder than the parts before it")
        return found

    def evaluated(self) -> dict[str, Encoder]:
        """Of an encoder that one part alone trains, what that part has evaluated; of one that several
        train, the encoder itself, since it is no part's alone.
        """
        found = self.encoders()
        for kind in found:
            parts = [part for _, part in self._all() if kind in part.encoders()]
            if len(parts) == 1:
                found[kind] = parts[0].evaluated()[kind]
        return found

    def restart_teachers(self) -> None:
        for _, part in self._all():
            part.restart_teachers()

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        loss = torch.zeros((), device=rng.device)
        metrics: dict[str, torch.Tensor] = {}
        first = 0
        for name, part in self._named():
            last = first + sum(num_views(spec) for spec in part.view_specs())
            # Through the module, so that hooks see the pass.
            out: LossOut = part(batch.with_views(first, last), rng)
            loss = loss + self._weights[name] * out.loss
            metrics[f"{name}_loss"] = out.loss.detach()
            metrics |= {f"{name}_{metric}": value for metric, value in out.metrics.items()}
            first = last
        if first != len(batch.views):
            raise ValueError(f"the parts want {first} views, got {len(batch.views)}")
        for name, others in self.others.items():
            out = others(batch.others[name], rng)
            loss = loss + out.loss
            metrics |= out.metrics
        return LossOut(loss=loss, metrics=metrics)

    def check_catalog(self, catalog: Catalog) -> None:
        for _, part in self._named():
            part.check_catalog(catalog)

    def after_step(self, step: int, total_steps: int) -> None:
        for _, part in self._all():
            part.after_step(step, total_steps)

    def _all(self) -> Iterator[tuple[str, Objective]]:
        yield from self._named()
        yield from _named(self.others)

    def _named(self) -> Iterator[tuple[str, Objective]]:
        return _named(self.parts)


def _named(modules: nn.ModuleDict) -> Iterator[tuple[str, Objective]]:
    for name, module in modules.items():
        assert isinstance(module, Objective)
        yield name, module
