"""What is done to sounds on the device, a batch at a time: AudioMAE's roll and gain."""

import numpy as np
import torch
from torch import Tensor


def draw_roll(num_samples: int, draws: np.random.Generator) -> tuple[int, float]:
    """By how many samples a sound is turned round, and what it is multiplied by.

    Uniform in [0, num_samples), and 0.5 more than a Beta(10, 10) (Huang et al., arXiv 2207.06405;
    released code).
    """
    return int(draws.integers(0, num_samples)), 0.5 + float(draws.beta(10, 10))


def rolled(audio: Tensor, num_samples: Tensor, shifts: Tensor, gains: Tensor) -> Tensor:
    """Sounds turned round, their ends before their beginnings, and made louder or softer.

    Args:
        audio: float[b s].
        num_samples: int64[b]: samples of each row that are its own, at least 1; what is after them
            stays there.
        shifts: int64[b], samples in [0, num_samples) by which each sound comes later.
        gains: float[b].

    Returns:
        float[b s].
    """
    places = torch.arange(audio.shape[1], device=audio.device).expand_as(audio)
    lengths = num_samples[:, None]
    turned = (places - shifts[:, None]) % lengths
    return audio.gather(1, turned.where(places < lengths, places)) * gains[:, None]
