"""Reading a CTC head's answer frame by frame."""

import torch
from torch import Tensor


def greedy_tokens(scores: Tensor, num_frames: Tensor, blank: int) -> list[tuple[int, ...]]:
    """The likeliest token of each frame, repeats taken together, then blanks left out.

    Args:
        scores: float[b n v], logits or log-probabilities.
        num_frames: int64[b]: frames of each row that count.
        blank: of v.
    """
    best = scores.argmax(dim=-1).cpu()
    rows = zip(best, num_frames.tolist(), strict=True)
    collapsed = [torch.unique_consecutive(row[:count]).tolist() for row, count in rows]
    return [tuple(token for token in tokens if token != blank) for tokens in collapsed]
