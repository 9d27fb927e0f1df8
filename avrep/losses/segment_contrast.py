"""InfoNCE between the pictures and the sound of short segments, over clips and within them."""

import torch
from torch import Tensor
from torch.nn import functional

from avrep.transfer import to_device


def segment_info_nce(
    video: Tensor,
    audio: Tensor,
    keys_video: Tensor,
    keys_audio: Tensor,
    *,
    offset: int,
    temperature: Tensor | float,
    hard_weight: Tensor | float = 1.0,
) -> Tensor:
    """Each segment must pick its own sound from that of all segments, and the other way round.

    With v_ik the pictures and a_ik the sound of segment k of clip i, T the temperature and w the
    weight of hard negatives, the side of the pictures is

        -log  exp(v_ik.a_ik / T)
              / ( exp(v_ik.a_ik / T) + w sum_{l != k} exp(v_ik.a_il / T)
                  + sum_{j != i, l} exp(v_ik.a_jl / T) )

    The sound's side has v and a exchanged, and the loss is the mean of both sides over the local
    segments. With w = 1 it is Synchformer's segment AVCLIP (Iashin et al., arXiv 2401.16423,
    section 3; released code: the average of two cross-entropies over all segments of the batch).
    Segments of the same clip, which are shifted in time, are the hard negatives of AVTS (Korbar,
    Tran, Torresani, NeurIPS 2018), those of other clips its easy ones: w = 0 leaves the easy ones.

    Computed in float32 whatever the autocast.

    Args:
        video: float[b n d], the local clips' segments, vectors of length 1.
        audio: float[b n d].
        keys_video: float[c n d], of the clips of all ranks.
        keys_audio: float[c n d].
        offset: clip of `keys_*` where the local clips begin.
        temperature: positive.
        hard_weight: w, in [0, 1].

    Returns:
        float32[].
    """
    num_clips, num_segments = video.shape[:2]
    with torch.autocast(video.device.type, enabled=False):
        own = torch.arange(num_clips * num_segments, device=video.device) + offset * num_segments
        keys = torch.arange(keys_video.shape[0] * num_segments, device=video.device)
        is_hard = (own[:, None] // num_segments == keys // num_segments) & (own[:, None] != keys)
        weight = to_device(torch.as_tensor(hard_weight, dtype=torch.float32), video.device)
        handicap = torch.where(is_hard, weight.log(), 0.0)
        sides = [
            functional.cross_entropy(
                query.float().flatten(0, 1) @ key.float().flatten(0, 1).T / temperature + handicap,
                own,
            )
            for query, key in ((video, keys_audio), (audio, keys_video))
        ]
        return (sides[0] + sides[1]) / 2


def segment_top1(video: Tensor, audio: Tensor) -> Tensor:
    """The share of segments whose pictures are nearest to their own sound among their clip's.

    By inner product; chance is 1 / n.

    Args:
        video: float[b n d].
        audio: float[b n d].

    Returns:
        float32[].
    """
    with torch.autocast(video.device.type, enabled=False):
        nearest = (video.float() @ audio.float().transpose(1, 2)).argmax(dim=2)
    return (nearest == torch.arange(video.shape[1], device=video.device)).float().mean()
