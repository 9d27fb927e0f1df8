"""`logmel` and `logmel-no-cmvn`: the baselines that every encoder is held against."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

from avrep.evaluation.sound.upstream import HiddenStates, Upstream, joined
from avrep.evaluation.task_result import EncoderFacts

_NUM_BINS = 80
_NORM_FLOOR = 1e-10
_CONSTANT = 1e-4
"""Of a band that never changes but for rounding, as in digital silence."""


class LogMel(Upstream):
    """SUPERB's FBANK (arXiv 2105.01051; its released code, upstream/baseline/fbank.yaml).

    Kaldi's 80 log-mel energies of 25 ms every 10 ms, their first and second differences over five
    frames, each of the 240 numbers with mean 0 and deviation 1 over the utterance. One that does not
    change at all becomes 0; there the released code divides rounding errors by 1e-10.

    Its mean over an utterance is 0, so that SUPERB's heads for whole utterances (KS, SID, IC, ER),
    which are linear but for that mean, can tell nothing by it: they stay at chance. Without the
    normalisation (the released fbank_no_cmvn.yaml) they can.

    Args:
        device: where states come out.
        normalises: the mean and deviation of each utterance.
    """

    def __init__(self, device: torch.device | None = None, *, normalises: bool = True) -> None:
        name = "logmel" if normalises else "logmel-no-cmvn"
        self.facts = EncoderFacts(name=name, digest=f"{name} 80 deltas 1", num_parameters=0)
        self._normalises = normalises
        self.num_states = 1
        self.width = 3 * _NUM_BINS
        self.frame_samples = 160
        # Two frames: one has no deviation.
        self.min_samples = 560
        self.device = device or torch.device("cpu")

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        each = [_features(wave) for wave in waves]
        if self._normalises:
            each = [_normalised(features) for features in each]
        return joined([features[None].to(self.device) for features in each])


def _features(wave: Tensor) -> Tensor:
    """float32[n 240] of float32[s]."""
    energies = kaldi.fbank(wave[None], num_mel_bins=_NUM_BINS, sample_frequency=16_000).T
    slopes = compute_deltas(energies)
    return torch.cat([energies, slopes, compute_deltas(slopes)]).T


def _normalised(features: Tensor) -> Tensor:
    """Each column with mean 0 and deviation 1."""
    centred = features - features.mean(dim=0)
    deviation = features.std(dim=0)
    return (centred / (deviation + _NORM_FLOOR)).masked_fill(deviation < _CONSTANT, 0)
