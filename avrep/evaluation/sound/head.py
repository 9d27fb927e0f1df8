"""What is trained on a frozen encoder: the head, and how."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn

from avrep.frozen import FrozenConfig

E = TypeVar("E")
P = TypeVar("P")

BatchPlan = Callable[[int], tuple[int, ...]]
"""The examples of the k-th batch that the head is fed, k from 0: a pure function."""


class HeadRecipe(FrozenConfig):
    """How a head is trained; SUPERB's recipes differ in these alone."""

    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = Field(gt=0)
    """Constant. The one value that SUPERB tunes for each encoder."""
    batch_size: int = Field(ge=1)
    """Examples fed at a time."""
    num_accumulated: int = Field(default=1, ge=1)
    """Batches whose gradients make one update."""
    num_steps: int = Field(ge=1)
    """Updates."""
    eval_every: int = Field(ge=1)
    """Updates between looks at the validation part; the best one is kept."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """A longer gradient is scaled to this length; one that is not finite is passed over."""
    crop_samples: int | None = Field(default=None, ge=1)
    """Training hears at most so much of each recording, from a place drawn anew each time."""


def recipe_notes(recipe: HeadRecipe, own: HeadRecipe) -> tuple[str, ...]:
    """What a recipe has otherwise than the task's own, but for the rate, which may be chosen."""
    fields = recipe.model_dump(exclude={"lr"})
    there = own.model_dump()
    unlike = [
        f"{name} {value} ({there[name]})" for name, value in fields.items() if value != there[name]
    ]
    if not unlike:
        return ()
    return (f"the head is not trained by the task's own recipe (in brackets): {', '.join(unlike)}",)


class Head(nn.Module, ABC, Generic[E, P]):
    """A small network from features float[b n d] to a loss, and to predictions."""

    @abstractmethod
    def loss(self, features: Tensor, num_frames: Tensor, examples: Sequence[E]) -> Tensor:
        """float32[], the mean over the batch as the task's recipe defines it.

        Args:
            features: float32[b n d].
            num_frames: int64[b]: each example's own frames.
            examples: b, with their labels.
        """

    @abstractmethod
    def predict(self, features: Tensor, num_frames: Tensor, examples: Sequence[E]) -> list[P]:
        """One prediction an example; must not look at labels."""
