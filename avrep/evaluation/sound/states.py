"""Hidden states of recordings: computed when they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from avrep.evaluation.sound.recordings import Recording, read_wave
from avrep.evaluation.sound.upstream import HiddenStates, Upstream

Prepare = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of every recording of a batch."""

    num_samples: int
    """Of 16 kHz; a shorter recording is taken whole."""
    places: tuple[float, ...]
    """Of each recording, in [0, 1): how far into what is left over its part begins."""

    def starts(self, lengths: Sequence[int]) -> list[int]:
        """The first sample of each part, of recordings of these lengths."""
        return [
            cut_start(length, self.num_samples, place)
            for place, length in zip(self.places, lengths, strict=True)
        ]


def cut_start(length: int, wanted: int, place: float) -> int:
    """Where a part of `wanted` of `length` things begins; 0 where there are no more than wanted.

    Args:
        length: at least 1.
        wanted: at least 1.
        place: in [0, 1); uniform draws make every beginning as likely.
    """
    return int(place * (max(0, length - wanted) + 1))


class ReadStates(Protocol):
    """Gives the hidden states of recordings, or of a part of each."""

    def __call__(
        self, recordings: Sequence[Recording], crop: Crop | None = None
    ) -> HiddenStates: ...


def fresh_states(upstream: Upstream, prepare: Prepare) -> ReadStates:
    """Read, prepare, cut, and run the encoder, each time anew: what SUPERB's recipes do.

    Args:
        upstream: the encoder.
        prepare: see `SoundTask.prepare`.
    """

    def read(recordings: Sequence[Recording], crop: Crop | None = None) -> HiddenStates:
        waves = [prepare(read_wave(recording)) for recording in recordings]
        if crop is not None:
            starts = crop.starts([len(wave) for wave in waves])
            cuts = zip(waves, starts, strict=True)
            waves = [wave[start : start + crop.num_samples] for wave, start in cuts]
        return states_of(upstream, waves)

    return read


@torch.no_grad()
def states_of(upstream: Upstream, waves: Sequence[Tensor]) -> HiddenStates:
    """The states of a batch of any sounds; those too short to have a frame get silence behind them."""
    long_enough = [
        functional.pad(wave, (0, max(0, upstream.min_samples - len(wave)))) for wave in waves
    ]
    return upstream.hidden_states(long_enough)
