"""Attentive probes of several learning rates and weight decays, trained side by side on one stream."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep.models.attentive_pool import AttentiveClassifier
from avrep.models.mixed_precision import Precision, mixed_precision
from avrep.models.seeded import seeded
from avrep.recognition.attentive_recipe import AttentiveRecipe, HeadRates
from avrep.training.schedules import cosine_with_warmup


class ProbeHeads(nn.Module):
    """One `AttentiveClassifier` for each of the recipe's rates, all with the same first weights.

    Args:
        recipe: rates and attention heads.
        width: of the tokens.
        num_classes: to tell apart.
        seed: the first weights are a function of it.
    """

    def __init__(self, recipe: AttentiveRecipe, width: int, num_classes: int, seed: int) -> None:
        super().__init__()

        def build() -> AttentiveClassifier:
            with seeded(seed, "attentive_probe"):
                return AttentiveClassifier(width, num_classes, recipe.num_heads)

        self.heads = nn.ModuleList(build() for _ in recipe.rates)

    def probabilities(self, tokens: Tensor, precision: Precision) -> Tensor:
        """float32[b heads classes] of tokens float[b n d]; a head that diverged gives zeros."""
        with mixed_precision(tokens.device, precision):
            logits = torch.stack([head(tokens) for head in self.heads], dim=1)
        return logits.float().softmax(dim=-1).nan_to_num(0.0)


def build_head_optimizer(heads: ProbeHeads, rates: Sequence[HeadRates]) -> torch.optim.AdamW:
    """AdamW over all heads, each with its own rates; what has one dimension is not decayed."""
    groups: list[dict[str, Any]] = []
    for head, rate in zip(heads.heads, rates, strict=True):
        for is_decayed in (True, False):
            chosen = [p for p in head.parameters() if (p.ndim > 1) == is_decayed]
            first, final = rate.weight_decay, rate.final_weight_decay
            between = (first, first if final is None else final) if is_decayed else (0.0, 0.0)
            groups.append({"params": chosen, "peak_lr": rate.lr, "decay_between": between})
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def step_heads(
    heads: ProbeHeads,
    optimizer: torch.optim.AdamW,
    tokens: Tensor,
    labels: Tensor,
    *,
    step: int,
    total_steps: int,
    max_grad_norm: float | None,
    precision: Precision,
) -> None:
    """One update of every head by its own cross-entropy, with learning rate and decay on half a cosine.

    A head whose loss is not finite is left as it is: the others go on.

    Args:
        heads: in training mode.
        optimizer: from `build_head_optimizer`.
        tokens: float[b n d].
        labels: int64[b].
        step: from 0.
        total_steps: where the learning rate is 0.
        max_grad_norm: a head's longer gradient is scaled to this length; None: it stays.
        precision: of the forward pass.
    """
    share = cosine_with_warmup(step, total_steps, 0, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share
        first, final = group["decay_between"]
        group["weight_decay"] = final + (first - final) * share
    optimizer.zero_grad(set_to_none=True)
    for head in heads.heads:
        with mixed_precision(tokens.device, precision):
            logits = head(tokens)
        loss = functional.cross_entropy(logits.float(), labels)
        if not torch.isfinite(loss):
            continue
        loss.backward()
        if max_grad_norm is not None:
            nn.utils.clip_grad_norm_(head.parameters(), max_grad_norm)
    optimizer.step()
