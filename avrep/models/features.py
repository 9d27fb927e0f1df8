"""What an encoder gives, and what an encoder is: the wall between encoders and objectives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """An encoder's answer for a batch of clips.

    Tokens run over the grid in row-major order: time slowest, then height, then width. An encoder
    that saw only part of the grid (a masked one) gives the visible tokens and says which they are.
    """

    tokens: Tensor
    """float[b n d]"""
    grid: tuple[int, int, int]
    """Places along time, height and width before any were dropped; for sound, height counts bands of
    frequency and width is 1."""
    kept: Tensor | None = None
    """int64[b n]: where in the flattened grid each token sits; None: all of it, in order."""
    pooled: Tensor
    """float[b d]: one vector a clip."""


class Encoder(nn.Module, ABC):
    """A network from clips to `Features`. Built once a run and shared by every objective that asks.

    A video encoder takes float[b 3 t h w]. Whoever adds another kind states its input likewise and
    refuses anything else by an error that says what was wanted and what came.

    Args:
        width: d, the width of `tokens` and `pooled`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self._is_frozen = False

    @property
    def num_parameters(self) -> int:
        """How many numbers are in its weights, frozen ones included, buffers not."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def watched(self) -> nn.Module:
        """The part that every use of the encoder goes through, and that gives `Features` or pooled
        features float[b d]: where to look at what it gave.
        """
        return self

    def blocks(self) -> tuple[nn.Module, ...]:
        """Its blocks in the order that they are run in, each called as a whole: a transformer's, or a
        residual network's stages. None, for a network without such.
        """
        return ()

    def behind_blocks(self) -> tuple[nn.Module, ...]:
        """What is run after the last block."""
        return ()

    def freeze(self) -> None:
        """Nothing changes its weights from now on, nor what its norms count; it stays in evaluation
        mode whatever is trained around it.
        """
        self._is_frozen = True
        self.requires_grad_(False)
        self.eval()

    def unfreeze(self) -> None:
        """All its weights may be trained again, those of a teacher's encoder too; for fine-tuning."""
        self._is_frozen = False
        self.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self._is_frozen)

    @abstractmethod
    def forward(self, clips: Tensor, /) -> Features: ...


def check_video(video: Tensor) -> None:
    """Refuses what is not a batch of pictures in channels-first order.

    Raises:
        ValueError: not float[b 3 t h w] with every side at least 1.
    """
    if video.ndim != 5 or video.shape[1] != 3 or not video.is_floating_point() or 0 in video.shape:
        raise ValueError(
            f"a video encoder wants float[b 3 t h w], all sides at least 1; "
            f"got {str(video.dtype).removeprefix('torch.')}{list(video.shape)}"
        )


def check_sound(clips: Tensor, num_samples: Tensor | None, least_samples: int) -> None:
    """Refuses what is not a batch of mono sound, or has a clip that is too short.

    Args:
        clips: the input.
        num_samples: of each clip, its own samples; None: all.
        least_samples: that a clip must have.

    Raises:
        ValueError: not float[b s] with rows, `num_samples` of another form, or a clip too short.
    """
    if clips.ndim != 2 or not clips.is_floating_point() or clips.shape[0] == 0:
        raise ValueError(
            f"an audio encoder wants float[b s], mono at 16 kHz, at least one row; "
            f"got {str(clips.dtype).removeprefix('torch.')}{list(clips.shape)}"
        )
    shortest = longest = clips.shape[1]
    if num_samples is not None:
        if num_samples.shape != clips.shape[:1] or num_samples.is_floating_point():
            raise ValueError(
                f"num_samples must be int64[{clips.shape[0]}], "
                f"got {str(num_samples.dtype).removeprefix('torch.')}{list(num_samples.shape)}"
            )
        shortest, longest = (int(length) for length in num_samples.aminmax())
    if shortest < least_samples:
        raise ValueError(
            f"clips must have at least {least_samples} samples ({least_samples / 16:g} ms), "
            f"got {shortest}"
        )
    if longest > clips.shape[1]:
        raise ValueError(f"num_samples says {longest}, but clips have {clips.shape[1]} samples")
