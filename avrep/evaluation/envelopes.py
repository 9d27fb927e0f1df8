"""Synchrony without learning: does the sound swell when the pictures change?"""

import torch
from torch import Tensor
from torch.nn import functional

from avrep.evaluation.sync import OffsetScores


def envelope_scores(motion: Tensor, loudness: Tensor, reach: int, hop: int) -> OffsetScores:
    """The correlation over time of two curves, at every shift.

    Args:
        motion: float[b t], how much each frame differs from the one before.
        loudness: float[b t], of the sound of each frame.
        reach: how many shifts either way.
        hop: frames from one shift to the next; t is above 2 * reach * hop.

    Returns:
        At shifts in frames, later sound positive, as `scores_by_shift` has them.
    """
    margin = reach * hop
    num_frames = motion.shape[1] - 2 * margin
    middle = _standardised(motion[:, margin : margin + num_frames])
    around = _standardised(loudness.unfold(1, num_frames, hop).flip(1))
    shifts = tuple(float(number * hop) for number in range(-reach, reach + 1))
    return OffsetScores(offsets_s=shifts, scores=(middle[:, None] * around).mean(dim=2))


def envelopes(video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
    """float32[b t] each: how much frames differ from those before, and how loud their sound is.

    Args:
        video: float[b 3 t h w].
        audio: float[b s], as long as the pictures.
    """
    changes = video.diff(dim=2).square().mean(dim=(1, 3, 4))
    per_frame = functional.adaptive_avg_pool1d(audio.square()[:, None], video.shape[2])[:, 0]
    # The first frame has none before it.
    return functional.pad(changes, (1, 0), mode="replicate").sqrt(), per_frame.sqrt()


def _standardised(values: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(values, dim=-1, correction=0, keepdim=True)
    return (values - mean) / deviation.clamp(min=1e-8)
