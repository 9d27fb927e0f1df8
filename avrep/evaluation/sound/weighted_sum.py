"""SUPERB's featurizer: one number for each hidden state, learned with the head."""

import torch
from torch import Tensor, nn


class WeightedSum(nn.Module):
    """The states' sum, weighted by a softmax of one scalar each (SUPERB, arXiv 2105.01051, section 2).

    All weights begin equal. States are not normalised first, as in the public toolkit.

    Args:
        num_states: l.
    """

    def __init__(self, num_states: int) -> None:
        super().__init__()
        self.scalars = nn.Parameter(torch.zeros(num_states))

    @property
    def weights(self) -> Tensor:
        """float[l], positive, with sum 1."""
        return self.scalars.softmax(dim=0)

    def forward(self, states: Tensor) -> Tensor:
        """float[b n d] of states float[l b n d]."""
        if len(states) != len(self.scalars):
            raise ValueError(f"wants {len(self.scalars)} states, got {len(states)}")
        return torch.einsum("l, l b n d -> b n d", self.weights, states.to(self.scalars.dtype))
