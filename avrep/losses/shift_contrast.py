"""Distances of pictures from sound at every shift, and the margin loss on them."""

import torch
from torch import Tensor
from torch.nn import functional


def shift_distances(video: Tensor, audio: Tensor) -> Tensor:
    """How far each window's pictures are from the sound around it.

    Column r + k is for sound that starts k windows later than the pictures that it goes with: the
    sound that belongs to a window is then found k windows before it. This is the sign of
    `avrep.sampling.sync.offsets_s`. (Released evaluations of SyncNet disagree about theirs.)

    Args:
        video: float[b m d].
        audio: float[b m + 2r d]; window j of `video` begins with window j + r of it.

    Returns:
        float32[b m 2r+1], Euclidean.
    """
    num_shifts = audio.shape[1] - video.shape[1] + 1
    if num_shifts < 1 or num_shifts % 2 == 0 or audio.shape[::2] != video.shape[::2]:
        raise ValueError(
            f"shifts want video[b m d] and audio[b m+2r d]; "
            f"got {list(video.shape)} and {list(audio.shape)}"
        )
    with torch.autocast(video.device.type, enabled=False):
        around = audio.float().unfold(1, num_shifts, 1).flip(3)
        squared = (video.float()[..., None] - around).square().sum(dim=2)
        # The root's slope is infinite at 0.
        return squared.clamp(min=1e-12).sqrt()


def shift_contrast(distances: Tensor, margin: float) -> Tensor:
    """Pictures and their sound belong together, any other shift at least `margin` apart.

    With d_0 a window's distance from its own sound and d_k from that at shift k:

        mean over windows of  ( d_0^2 + mean_{k != 0} max(margin - d_k, 0)^2 ) / 2

    The contrastive loss of SyncNet (Chung and Zisserman, "Out of time", ACCVW 2016, equation 1),
    which is given as many pairs that belong together as do not; here all shifts stand for a window's
    false pairs, weighed together as one.

    Args:
        distances: float32[b m 2r+1] with r at least 1, as `shift_distances` gives them for clips
            whose sound goes with the pictures.
        margin: positive.

    Returns:
        float32[].
    """
    middle = distances.shape[2] // 2
    true = distances[..., middle]
    false = torch.cat([distances[..., :middle], distances[..., middle + 1 :]], dim=2)
    short = functional.relu(margin - false)
    return (true.square() + short.square().mean(dim=2)).mean() / 2
