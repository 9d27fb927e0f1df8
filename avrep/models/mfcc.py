"""The features that HuBERT's first iteration clusters: 13 cepstra with their slopes."""

import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

RATE_HZ = 100
"""Frames a second."""
WIDTH = 39


def mfcc_with_deltas(sound: Tensor) -> Tensor:
    """Mel-frequency cepstra, their first and second differences, a frame each 10 ms.

    HuBERT (arXiv 2106.07447), section IV-B, as released: fairseq, examples/hubert/simple_kmeans,
    dump_mfcc_feature.py. Kaldi's MFCC with its defaults (25 ms frames, 23 mel bands from 20 Hz,
    the 0th cepstrum kept rather than energy), differences over five frames.

    Args:
        sound: float[s], mono at 16 kHz, in [-1, 1]; at least 400 samples.

    Returns:
        float32[n 39] with n = 1 + floor((s - 400) / 160). Frame j begins at sample 160 j.

    Raises:
        ValueError: the input has another form or is too short.
    """
    if sound.ndim != 1 or not sound.is_floating_point() or sound.shape[0] < 400:
        raise ValueError(
            f"MFCCs want float[s] with at least 400 samples; "
            f"got {str(sound.dtype).removeprefix('torch.')}{list(sound.shape)}"
        )
    with torch.autocast(sound.device.type, enabled=False):
        cepstra = kaldi.mfcc(sound[None].float(), sample_frequency=16000, use_energy=False).T
        slopes = compute_deltas(cepstra)
        return torch.cat([cepstra, slopes, compute_deltas(slopes)]).T
