"""The penalty that keeps a waveform encoder's convolutions from growing."""

import torch
from torch import Tensor

from avrep.transfer import to_device


def squared_features(features: Tensor, num_frames: Tensor) -> Tensor:
    """Sum of squares of the clips' own features: of as many numbers as they have frames, times c.

    wav2vec 2.0 and HuBERT penalise the mean square of the convolutions' raw output. fairseq takes
    the mean over padded frames too; here it is over the clips' own. fairseq multiplies the mean by
    the number of masked frames because its loss is a sum over these, which it divides by their
    number later: beside a mean over masked frames the penalty is the plain mean square.

    Args:
        features: float[b n c].
        num_frames: int64[b], on any device: frames that are the clip's own.

    Returns:
        float32[].
    """
    ends = to_device(num_frames, features.device)[:, None]
    valid = torch.arange(features.shape[1], device=features.device) < ends
    with torch.autocast(features.device.type, enabled=False):
        squares = features.float().square().sum(dim=2)
        return (squares * valid).sum()
