"""The contract between objectives and the rest: what clips they want, what they give back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from avrep.augment.video_config import VideoAugmentConfig
from avrep.media.catalog import Catalog
from avrep.models.features import Encoder
from avrep.sampling.spec import ViewSpec
from avrep.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewTensors:
    """One view of a rank's clips: pictures, augmented, and sound on the device, the rest on the host."""

    video: Tensor | None
    """float[b 3 t h w]"""
    pts_s: Tensor
    """float64[b t]: start of display of each frame, in seconds of the item."""
    audio: Tensor | None = None
    """float32[b s], mono, in [-1, 1]"""
    audio_start_s: Tensor | None = None
    """float64[b]: time of the first sample."""
    num_samples: Tensor | None = None
    """int64[b]: samples of each row that are the item's; after them is silence. None: all."""
    first_frame_s: Tensor | None = None
    """float64[b]: when each clip's first frame was wanted, in seconds of the item."""
    rate_hz: int = 0

    def __repr__(self) -> str:
        return (
            f"ViewTensors(video={_form(self.video)}, audio={_form(self.audio)}, "
            f"rate_hz={self.rate_hz})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTensors:
    """One rank's share of one step. Row i of every view is a clip of the same item."""

    step: int
    views: tuple[ViewTensors, ...]
    """In the order of the objective's `view_specs`, each spec's views side by side."""
    addresses: tuple[Address, ...] = ()
    """Of each row: what an objective draws for a clip is a function of (seed, address), so that it
    does not depend on the rank that got the clip."""
    others: Mapping[str, "BatchTensors"] = field(default_factory=dict)
    """Of a mixture's further corpora, by name: the same step of each."""
    share: "BatchTensors | None" = None
    """All that the rank has of the step, where this is one of several micro-batches of equal size;
    None: this is all."""
    first_row: int = 0
    """Row of `share` where this one's rows begin."""

    @property
    def whole(self) -> "BatchTensors":
        """All that the rank has of the step: what is counted or cut for a batch is so for this."""
        return self if self.share is None else self.share

    @property
    def rows(self) -> slice:
        """Where in `whole` these rows are."""
        return slice(self.first_row, self.first_row + len(self.addresses))

    @property
    def num_micro_batches(self) -> int:
        return 1 if self.share is None else len(self.share.addresses) // len(self.addresses)

    def with_views(self, first: int, last: int) -> "BatchTensors":
        """The same items with the views from `first` to before `last` alone."""
        share = None if self.share is None else self.share.with_views(first, last)
        return replace(self, views=self.views[first:last], others={}, share=share)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOut:
    """What an objective made of a batch."""

    loss: Tensor
    """float32[]: mean over the local samples, so that the mean over ranks is the whole batch's."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """float32[] each, detached, means over the local samples likewise."""

    def __post_init__(self) -> None:
        if self.loss.ndim != 0 or self.loss.dtype != torch.float32:
            raise ValueError(f"a loss must be float32[], got {_form(self.loss)}")
        for name, value in self.metrics.items():
            if value.ndim != 0 or value.requires_grad:
                raise ValueError(f"metric {name} must be a detached scalar, got {_form(value)}")


class Objective(nn.Module, ABC):
    """A self-supervised task: it holds what it trains beside the encoders, and says what to feed it.

    Encoders are built once a run and handed in, so that several objectives can train one encoder.
    Heads, predictors, queues and teachers are the objective's own: parameters or buffers, so that
    a checkpoint has them; teachers have `requires_grad` off. Whatever is random in building it is
    a function of a seed (`avrep.models.seeded`). What is random in `forward` and belongs to a clip
    (its mask, its distractors) is a function of (seed, the clip's address), so that ranks do not
    change it; what belongs to none comes from `rng`.

    Nothing but `forward` may compute a loss, so that the hooks of DDP and FSDP see every pass, and
    every trainable parameter must take part in it. The mean over ranks of the loss, and of its
    gradient, must be the one-rank value on the joined batch; batch norm of the joined batch is seen
    to (`avrep.training.joined_norms`). Likewise the mean over the micro-batches of a rank's share must be what the share gives, batch
    norm apart; means over unequal numbers of terms want `BatchTensors.whole`.
    """

    items_first: bool = False
    """How the rows of its encoders' batches stand where an item has several: an item's side by side,
    or (by default) one view of all items after the other."""

    @abstractmethod
    def view_specs(self) -> tuple[ViewSpec, ...]:
        """What clips it needs of each item. One spec may give several views."""

    @abstractmethod
    def augments(self) -> tuple[VideoAugmentConfig | None, ...]:
        """What happens to each view's frames on the device; as many as there are views, None for one
        of sound alone.
        """

    @property
    def compares_items(self) -> bool:
        """Whether items are told from the other items of their batch. Such a batch cannot be taken in
        micro-batches: each item would have fewer others.
        """
        return False

    def augment_lanes(self) -> tuple[int, ...]:
        """A number for each view: views of an item that share it are cropped, flipped and coloured
        alike, if their augmentations are the same. By default each view has its own.
        """
        return tuple(range(len(self.augments())))

    def corpora(self) -> "Mapping[str, Objective]":
        """What looks at further corpora, by their names in the config: its views are theirs, and
        the loss that it has a part in is this objective's.
        """
        return {}

    @abstractmethod
    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        """The loss of this rank's share of the batch.

        Args:
            batch: the views that `view_specs` asked for, augmented as `augments` says.
            rng: on the batch's device; a function of (seed, step, rank).

        Raises:
            ValueError: the views are not those asked for.
        """

    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """What is trained: "video", "audio"."""

    def evaluated(self) -> dict[str, Encoder]:
        """What evaluators, and runs that start from this one, get: where a method's results are its
        teacher's, the teacher; by default the encoders.
        """
        return self.encoders()

    def projections(self) -> dict[str, nn.Linear]:
        """What lies right behind encoders, by name, that a run which starts from this one goes on with
        where it has a projection of the same name and shape; by default nothing.
        """
        return {}

    def restart_teachers(self) -> None:
        """Make moving averages copies of what they follow; called when the encoders were given the
        weights that they begin with.
        """

    def check_catalog(self, catalog: Catalog) -> None:
        """Refuse a corpus that does not go with what it trains on; a run asks before it begins.

        Raises:
            ConfigError: saying what does not fit.
        """

    def after_step(self, step: int, total_steps: int) -> None:
        """Moves teachers and queues on; called when `step` of `total_steps` updates are done."""


def _form(tensor: Tensor | None) -> str:
    if tensor is None:
        return "None"
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
