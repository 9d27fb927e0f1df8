"""Where a probe's training tokens come from: a frozen encoder, asked anew or once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from avrep.augment.view import augment_view
from avrep.models.features import Encoder
from avrep.models.mixed_precision import Precision, mixed_precision
from avrep.pipeline.plan import Plan
from avrep.pipeline.stream import OpenStream
from avrep.recognition.attentive_recipe import AttentiveRecipe
from avrep.recognition.data import TaskVideos
from avrep.recognition.views import random_clips
from avrep.types import Failure, RowNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """The tokens of one step's videos."""

    step: int
    tokens: Tensor = field(repr=False)
    """float[b n d] on the device; those of several clips one after the other."""
    rows: tuple[int, ...]
    """Catalogue row of each video."""
    failures: tuple[Failure, ...] = ()
    """Videos that could not be decoded; others took their places."""


class TokenFeed(Protocol):
    """Gives the batches of any steps, which depend on nothing but the step."""

    @property
    def plan(self) -> Plan: ...

    def open(self, steps: range) -> AbstractContextManager[Iterator[TokenBatch]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """An encoder that only answers; in evaluation mode."""

    encoder: Encoder
    device: torch.device
    precision: Precision

    @torch.no_grad()
    def tokens(self, clips: Tensor) -> Tensor:
        """float[b n d] of float[b 3 t h w]."""
        with mixed_precision(self.device, self.precision):
            return self.encoder(clips).tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedTokens:
    """New clips of each video in each epoch, drawn and augmented by their addresses."""

    frozen: Frozen
    data: TaskVideos
    recipe: AttentiveRecipe
    plan: Plan
    open_stream: OpenStream

    @contextmanager
    def open(self, steps: range) -> Iterator[Iterator[TokenBatch]]:
        """The batches of some steps."""
        recipe = self.recipe
        spec = random_clips(
            recipe.clip,
            recipe.clips_in_training,
            recipe.short_side_px,
            "spread",
            one_in_each_part=True,
        )
        with self.open_stream(self.data.source(self.plan, spec), steps) as stream:
            yield (
                TokenBatch(
                    step=batch.step,
                    tokens=torch.cat(
                        [
                            self.frozen.tokens(
                                augment_view(
                                    view,
                                    recipe.augment,
                                    batch.addresses,
                                    seed=self.plan.seed,
                                    lane=lane,
                                    device=self.frozen.device,
                                )
                            )
                            for lane, view in enumerate(batch.views)
                        ],
                        dim=1,
                    ),
                    rows=tuple(address.item for address in batch.addresses),
                    failures=batch.failures,
                )
                for batch in stream
            )


def rows_digest(rows: RowNumbers) -> bytes:
    """Catalogue rows as bytes that are the same on every machine."""
    return rows.astype("<i8").tobytes()
