"""wav2vec 2.0's quantiser: a choice of one codeword from each of a few codebooks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What became of m vectors under G codebooks of V words."""

    vectors: Tensor
    """float[m width]: the chosen codewords side by side, with a straight-through gradient."""
    codes: Tensor
    """int64[m G]: which word of each codebook."""
    probabilities: Tensor
    """float32[m G V]: the softmax of the choice's logits, without noise or temperature."""


class GumbelQuantizer(nn.Module):
    """Product quantisation by a hard Gumbel softmax (arXiv 2006.11477, section 2 and equation 1).

    Released code: fairseq, modules/gumbel_vector_quantizer.py, whence the start: logits' weights
    N(0, 1), their bias 0, codewords U(0, 1).

    Args:
        in_width: width of what is quantised.
        num_groups: G.
        num_codes: V.
        width: of the joined codewords; a multiple of G.

    Raises:
        ValueError: `width` is no multiple of `num_groups`.
    """

    def __init__(self, in_width: int, num_groups: int, num_codes: int, width: int) -> None:
        super().__init__()
        if width % num_groups:
            raise ValueError(f"width {width} is no multiple of num_groups {num_groups}")
        self.num_groups = num_groups
        self.num_codes = num_codes
        self.logits = nn.Linear(in_width, num_groups * num_codes)
        self.codewords = nn.Parameter(torch.rand(num_groups, num_codes, width // num_groups))
        nn.init.normal_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(
        self, features: Tensor, *, noise: Tensor | None = None, temperature: float = 1.0
    ) -> Quantized:
        """Chooses codewords; the likeliest where there is no noise.

        With noise the forward value is the word of the largest logit plus noise, and the gradient
        that of the softmax of (logit + noise) / temperature. All is in float32 whatever the
        autocast. Without noise no gradient reaches the logits through `vectors`.

        Args:
            features: float[m in_width].
            noise: float32[m G V], as `gumbel_noise` gives it; None: the likeliest word.
            temperature: positive.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self._choose(features.float(), noise, temperature)

    def _choose(self, features: Tensor, noise: Tensor | None, temperature: float) -> Quantized:
        logits = self.logits(features).unflatten(1, (self.num_groups, self.num_codes))
        noisy = logits if noise is None else logits + noise
        codes = noisy.argmax(dim=2)
        choice = functional.one_hot(codes, self.num_codes).float()
        if noise is not None:
            soft = (noisy / temperature).softmax(dim=2)
            # Added last, the difference is exactly 0, so that equal codes give equal vectors.
            choice = choice + (soft - soft.detach())
        vectors = torch.einsum("mgv,gvd->mgd", choice, self.codewords).flatten(1)
        return Quantized(vectors=vectors, codes=codes, probabilities=logits.softmax(dim=2))


def gumbel_noise(
    num_rows: int, num_groups: int, num_codes: int, generator: torch.Generator
) -> Tensor:
    """float32[rows G V] of the standard Gumbel law, on the generator's device."""
    drawn = torch.empty(num_rows, num_groups, num_codes, device=generator.device)
    drawn.exponential_(generator=generator)
    return -drawn.clamp_min(torch.finfo(torch.float32).tiny).log()
