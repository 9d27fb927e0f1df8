"""What is measured: any frozen encoder that turns sound into hidden states, one for each layer."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avrep.evaluation.task_result import EncoderFacts
from avrep.models.weights_digest import weights_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenStates:
    """Of b sounds, all layers' outputs, the first layer's input before them."""

    states: Tensor
    """float[l b n d]: zeros or anything else past a sound's own frames."""
    num_frames: Tensor
    """int64[b]: each sound's own frames."""

    def __post_init__(self) -> None:
        states, num_frames = self.states, self.num_frames
        if states.ndim != 4 or num_frames.shape != states.shape[1:2]:
            raise ValueError(
                f"hidden states must be float[l b n d] with int64[b] frames, "
                f"got {list(states.shape)} and {list(num_frames.shape)}"
            )


class Upstream(ABC):
    """A frozen encoder of sound, in evaluation mode; nothing of it is ever trained.

    It takes sounds as they are, pads them itself, and gives each the frames that it would have alone.
    """

    facts: EncoderFacts
    num_states: int
    """l: for a transformer its layers and their common input, 13 for base."""
    width: int
    """d"""
    frame_samples: int
    """Samples at 16 kHz from one frame to the next: 320 at 50 frames a second."""
    min_samples: int = 1
    """Of the shortest sound that has a frame; shorter ones are padded with zeros by `states_of`."""
    device: torch.device = torch.device("cpu")
    """Where its states come out, and heads are trained."""

    @abstractmethod
    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        """The states of a batch of sounds, without gradients.

        Args:
            waves: float32[s] each, mono at 16 kHz in [-1, 1], at least `min_samples` long, on the CPU.

        Returns:
            On `device`.
        """


class Remembered(Upstream):
    """What is known of an encoder whose states are all on disk: it can compute none."""

    def __init__(self, other: Upstream) -> None:
        self.facts = other.facts
        self.num_states, self.width = other.num_states, other.width
        self.frame_samples, self.min_samples = other.frame_samples, other.min_samples
        self.device = other.device

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        del waves
        raise RuntimeError(f"{self.facts.name} was not brought along; its states are on disk")


def joined(each: Sequence[Tensor]) -> HiddenStates:
    """Sounds' own states as one batch, zero after each sound's end.

    Args:
        each: float[l n d], of b sounds.
    """
    num_frames = [states.shape[1] for states in each]
    first = each[0]
    joint = first.new_zeros(len(first), len(each), max(num_frames), first.shape[2])
    for row, states in enumerate(each):
        joint[:, row, : states.shape[1]] = states
    return HiddenStates(states=joint, num_frames=torch.tensor(num_frames, device=first.device))


def encoder_digest(module: nn.Module, *told: object) -> str:
    """Sixteen hexadecimal digits for `EncoderFacts.digest`.

    Args:
        module: the network.
        told: what else decides what comes out, such as how its input is normalised.
    """
    facts = repr((weights_digest(module), *told))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
