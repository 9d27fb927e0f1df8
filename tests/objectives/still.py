"""Objectives without what differs from one batch to another: norms' statistics, and dropout."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchaudio.models.wav2vec2.components import SelfAttention

from avrep.objectives.base import Objective
from avrep.objectives.wav2vec2 import Wav2vec2


def make_still(objective: Objective, *, norms: bool = True) -> Objective:
    """No dropout, and batch norm with the averages that it has; all else is in training mode.

    Args:
        objective: in training mode; changed in place.
        norms: False leaves batch norm in training mode too.
    """
    for module in objective.modules():
        match module:
            case _BatchNorm():
                # Few clips of few frames make outsized averages; an ordinary spread shows more.
                nn.init.constant_(module.bias, 0.1)
                module.train(not norms)
            case nn.Dropout():
                module.p = 0.0
            case SelfAttention():
                module.dropout = 0.0
            case Wav2vec2():
                module.config = module.config.model_copy(update={"feature_dropout": 0.0})
            case _:
                pass
    return objective
