"""The small networks between an encoder and a loss; thrown away after pretraining."""

from pydantic import Field
from torch import Tensor, nn

from avrep.frozen import FrozenConfig


class ProjectionHeadConfig(FrozenConfig):
    """Sizes of a projection head; the defaults are CVRL's."""

    hidden_width: int = Field(default=2048, ge=1)
    num_hidden: int = Field(default=3, ge=0, le=16)
    """Hidden layers; 0 leaves the last linear layer alone."""
    out_width: int = Field(default=128, ge=1)
    norm_momentum: float = Field(default=0.003, gt=0, le=1)
    """Share of the newest batch in batch norm's running averages (TensorFlow's 0.997)."""


class ProjectionHead(nn.Module):
    """float[b in_width] -> float[b out_width]: hidden layers of Linear, BatchNorm, ReLU, then Linear.

    CVRL, arXiv 2008.03800; sizes and momentum from the released code, whose linear layers start as
    Glorot's uniform with bias 0. The released hidden layers also have a bias, which the batch norm
    behind it takes away again; here they have none.

    Args:
        in_width: the encoder's width.
        config: sizes.
    """

    def __init__(self, in_width: int, config: ProjectionHeadConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_width
        for _ in range(config.num_hidden):
            layers += [
                nn.Linear(width, config.hidden_width, bias=False),
                nn.BatchNorm1d(config.hidden_width, momentum=config.norm_momentum),
                nn.ReLU(inplace=True),
            ]
            width = config.hidden_width
        layers.append(nn.Linear(width, config.out_width))
        self.layers = nn.Sequential(*layers)
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
