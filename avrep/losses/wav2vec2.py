"""wav2vec 2.0's contrastive task over masked frames, and the use of its codebooks.

Baevski, Zhou, Mohamed, Auli, arXiv 2006.11477, section 3.2, as released in fairseq
(models/wav2vec/wav2vec2.py, criterions/wav2vec_criterion.py).
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Distractors = Annotated[npt.NDArray[np.int64], "m k"]


def sample_distractors(
    num_masked: int, num_distractors: int, rng: np.random.Generator
) -> Distractors:
    """For each masked frame of one clip, k other masked frames of it, uniform, with replacement.

    Args:
        num_masked: m, at least 2.
        num_distractors: k; wav2vec 2.0's is 100.
        rng: where the randomness comes from.

    Returns:
        int64[m k], numbers in [0, m); row t has no t.

    Raises:
        ValueError: there is no other frame.
    """
    if num_masked < 2:
        raise ValueError(f"distractors need at least 2 masked frames, got {num_masked}")
    drawn = rng.integers(0, num_masked - 1, size=(num_masked, num_distractors))
    return drawn + (drawn >= np.arange(num_masked)[:, None])


def contrastive_logits(
    context: Tensor, targets: Tensor, codes: Tensor, distractors: Tensor, *, temperature: float
) -> Tensor:
    """Cosine of each masked frame's context with its own target and its distractors, over T.

    The loss of frame t, equation 3, is minus the log of the softmax's first entry. A distractor
    with the same codewords as the right target gets minus infinity. (fairseq compares the vectors,
    which in training differ by the straight-through gradient's rounding; here codes are compared.)
    Computed in float32 whatever the autocast.

    Args:
        context: float[m d], c_t.
        targets: float[m d], q_t.
        codes: int64[m G], the codewords behind each target.
        distractors: int64[m k], rows of `targets`.
        temperature: T, positive; wav2vec 2.0's is 0.1.

    Returns:
        float32[m 1+k], the right target's first.
    """
    own = torch.arange(context.shape[0], device=context.device)[:, None]
    rows = torch.cat([own, distractors], dim=1)
    same = (codes[distractors] == codes[:, None]).all(dim=2)
    with torch.autocast(context.device.type, enabled=False):
        context = functional.normalize(context.float(), dim=1)
        targets = functional.normalize(targets.float(), dim=1)
        logits = torch.einsum("md,mkd->mk", context, targets[rows]) / temperature
    hidden = torch.cat([torch.zeros_like(own, dtype=torch.bool), same], dim=1)
    return logits.masked_fill(hidden, float("-inf"))


def perplexities(mean_probabilities: Tensor) -> Tensor:
    """float32[G]: exp of the entropy of each codebook's use; 1: one word, V: all words alike.

    As released, 1e-7 is added inside the logarithm.

    Args:
        mean_probabilities: float32[G V], rows that sum to 1.
    """
    return torch.exp(-(mean_probabilities * (mean_probabilities + 1e-7).log()).sum(dim=1))


def diversity_loss(mean_probabilities: Tensor) -> Tensor:
    """(G V - sum of the codebooks' perplexities) / (G V): 0 when all words are used alike.

    The released form of equation 4, which in the paper is the mean negative entropy.

    Args:
        mean_probabilities: float32[G V], the softmax of the choice's logits, without noise or
            temperature, averaged over the masked frames of the joined batch.
    """
    num_words = mean_probabilities.numel()
    return (num_words - perplexities(mean_probabilities).sum()) / num_words
