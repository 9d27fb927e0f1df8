"""SUPERB's head of speaker verification: x-vectors, trained to tell speakers apart."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep.evaluation.sound.head import Head
from avrep.evaluation.superb.voxceleb1_trials import VerificationExample
from avrep.losses.am_softmax import am_softmax

CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))
"""Of each layer: how many frames it sees, and how far apart they are."""
LOST_FRAMES = sum((context - 1) * dilation for context, dilation in CONTEXTS)
"""14: frames fewer behind the layers than before them."""


def statistics_pooling(frames: Tensor, num_frames: Tensor) -> Tensor:
    """Mean and standard deviation over each example's own frames, float[b 2d].

    The deviation is that of a sample (n - 1), 0 of a single frame.

    Args:
        frames: float[b n d].
        num_frames: int64[b], at least 1.
    """
    valid = _own(frames, num_frames)
    count = num_frames[:, None].to(frames.dtype)
    mean = (frames * valid).sum(dim=1) / count
    squares = ((frames - mean[:, None]) * valid).square().sum(dim=1)
    # Clamped, since the root's slope is infinite at 0.
    std = (squares / (count - 1).clamp(min=1)).clamp(min=1e-12).sqrt()
    return torch.cat([mean, std], dim=1)


class XVectorHead(Head[VerificationExample, Tensor]):
    """Linear d to 512, five time-delay layers, statistics over time, two linear layers.

    Snyder et al., "X-vectors" (ICASSP 2018) as the public toolkit of SUPERB has it: without batch
    norm, a ReLU behind every layer but the first projection, and AM-softmax at scale 30 and margin
    0.4 on the directions of what comes out. The embedding is what the first of the two linear layers
    and its ReLU give, at length 1; trials are scored by the cosine. Statistics are of an example's own
    frames (the toolkit lets one frame of padding in). Sounds of fewer frames than the layers lose are
    filled up with zeros.

    Args:
        width: d.
        num_speakers: to tell apart.
        min_frames: an example of fewer does not count in the loss.
    """

    def __init__(self, width: int, num_speakers: int, min_frames: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, 512)
        widths = (512, 512, 512, 512, 512, 1500)
        self.layers = nn.ModuleList(
            nn.Conv1d(widths[number], widths[number + 1], context, dilation=dilation)
            for number, (context, dilation) in enumerate(CONTEXTS)
        )
        self.embedding = nn.Linear(2 * widths[-1], 512)
        self.last = nn.Linear(512, 512)
        self.directions = nn.Parameter(nn.init.xavier_normal_(torch.empty(512, num_speakers)))
        self._min_frames = min_frames

    def loss(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[VerificationExample]
    ) -> Tensor:
        counts = num_frames >= self._min_frames
        out = functional.relu(self.last(self._embed(features, num_frames)))
        if not bool(counts.any()):
            return out.sum() * 0
        labels = torch.tensor([example.label for example in examples], device=out.device)
        cosines = functional.normalize(out, dim=1) @ functional.normalize(self.directions, dim=0)
        return am_softmax(cosines[counts], labels[counts], scale=30.0, margin=0.4)

    def predict(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[VerificationExample]
    ) -> list[Tensor]:
        """Per example its embedding, float32[512] of length 1, on the CPU."""
        del examples
        embeddings = functional.normalize(self._embed(features, num_frames), dim=1)
        return list(embeddings.float().cpu())

    def _embed(self, features: Tensor, num_frames: Tensor) -> Tensor:
        missing = max(0, LOST_FRAMES + 1 - features.shape[1])
        x = self.projection(features) * _own(features, num_frames)
        x = functional.pad(x, (0, 0, 0, missing)).transpose(1, 2)
        for layer in self.layers:
            x = functional.relu(layer(x))
        left = (num_frames - LOST_FRAMES).clamp(min=1)
        return functional.relu(self.embedding(statistics_pooling(x.transpose(1, 2), left)))


def _own(frames: Tensor, num_frames: Tensor) -> Tensor:
    """bool[b n 1]: whether a frame is the example's own."""
    return (torch.arange(frames.shape[1], device=frames.device) < num_frames[:, None])[..., None]
