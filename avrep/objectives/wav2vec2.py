"""wav2vec 2.0: a masked frame must pick its own quantised target from others (arXiv 2006.11477).

Baevski, Zhou, Mohamed, Auli, "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations", NeurIPS 2020. The released code is fairseq, models/wav2vec/wav2vec2.py and
criterions/wav2vec_criterion.py.
"""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.losses.feature_penalty import squared_features
from avrep.losses.gather import gather_rows
from avrep.losses.joined_mean import joined_mean
from avrep.losses.wav2vec2 import (
    contrastive_logits,
    diversity_loss,
    perplexities,
    sample_distractors,
)
from avrep.models.draws import draws_from
from avrep.models.gumbel_quantizer import GumbelQuantizer, Quantized, gumbel_noise
from avrep.models.seeded import seeded
from avrep.models.waveform import Waveform
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_sound import (
    Lane,
    MaskedPass,
    MaskedSound,
    MaskedSoundConfig,
    generator_of,
    rows_at,
)
from avrep.transfer import to_device


class Wav2vec2Config(MaskedSoundConfig):
    """wav2vec 2.0's crops, masks, quantiser and loss; the defaults are the released base's."""

    kind: Literal["wav2vec2"] = "wav2vec2"
    mask_probability: float = Field(default=0.65, gt=0, le=1)
    """Share of frames that spans would cover if none overlapped; the paper's p = 0.065 starts a
    frame times 10 frames."""
    num_distractors: int = Field(default=100, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    projection_width: int = Field(default=256, ge=1)
    """Of contexts and targets, and of the codewords joined; the released large has 768."""
    num_groups: int = Field(default=2, ge=1)
    """Codebooks."""
    num_codes: int = Field(default=320, ge=2)
    """Words of each codebook."""
    gumbel_start: float = Field(default=2.0, gt=0)
    gumbel_floor: float = Field(default=0.5, gt=0)
    """The released large has 0.1."""
    gumbel_decay: float = Field(default=0.999995, gt=0, le=1)
    """What the quantiser's temperature is multiplied by each step."""
    diversity_weight: float = Field(default=0.1, ge=0)
    feature_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On what the quantiser sees."""

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.projection_width % self.num_groups:
            raise ValueError(
                f"projection_width {self.projection_width} is no multiple of "
                f"num_groups {self.num_groups}"
            )
        return self


def gumbel_temperature(step: int, start: float, floor: float, decay: float) -> float:
    """max(start * decay^step, floor), with `step` the updates made before (released code)."""
    return max(start * decay**step, floor)


class Wav2vec2(MaskedSound):
    """Contrast over masked frames, plus diversity of the codes and the penalty on features.

    The loss is fairseq's after its division by the number of masked frames, with the number and
    the sums those of all ranks; the diversity is that of the joined batch, or, in micro-batches, of
    each of them, as where fairseq accumulates gradients. In evaluation mode the quantiser takes the
    likeliest words and nothing is dropped, but frames are masked all the same.

    Args:
        config: sizes and constants.
        encoder: the waveform encoder to train.
        seed: the run's seed; first weights and all that is drawn for a clip are functions of it.
    """

    def __init__(self, config: Wav2vec2Config, encoder: Waveform, seed: int) -> None:
        super().__init__(config, encoder, seed)
        self.config = config
        width = config.projection_width
        with seeded(seed, "wav2vec2.head"):
            self.mask_embedding = nn.Parameter(torch.rand(encoder.width))
            self.quantizer = GumbelQuantizer(
                encoder.conv_width, config.num_groups, config.num_codes, width
            )
            self.project_context = nn.Linear(encoder.width, width)
            self.project_targets = nn.Linear(width, width)

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        config = self.config
        with draws_from(rng):
            encoded = self.encode(batch)
            masked = encoded.masked
            seen = functional.dropout(
                rows_at(encoded.features, masked), config.feature_dropout, self.training
            )
        num_masked = masked.sum(dim=1).tolist()
        quantized = self._quantize(seen, num_masked, batch)
        logits = contrastive_logits(
            self.project_context(rows_at(encoded.contexts, masked)),
            self.project_targets(quantized.vectors),
            quantized.codes,
            self._distractors(num_masked, batch),
            temperature=config.temperature,
        )
        return self._loss(logits, quantized, encoded, batch.num_micro_batches)

    def _loss(
        self, logits: Tensor, quantized: Quantized, encoded: MaskedPass, num_micro_batches: int
    ) -> LossOut:
        losses = functional.cross_entropy(
            logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="none"
        )
        # More than all others: where all are alike nothing was told apart.
        hits = (logits[:, 0] > logits[:, 1:].amax(dim=1)).float().sum()
        squares = squared_features(encoded.raw, encoded.num_frames)
        num_squares = encoded.share_frames.sum() * encoded.raw.shape[2]
        count = encoded.share_masked.sum()
        contrast, penalty, accuracy = joined_mean(
            torch.stack([losses.sum(), squares, hits]),
            torch.stack([count, num_squares, count]),
            num_micro_batches,
        )
        soft, hard = _joined_use(quantized)
        diversity = diversity_loss(soft)
        config = self.config
        loss = contrast + config.diversity_weight * diversity + config.penalty_weight * penalty
        metrics = {
            "contrastive_loss": contrast.detach(),
            "diversity_loss": diversity.detach(),
            "feature_penalty": penalty.detach(),
            "contrastive_accuracy": accuracy.detach(),
            "prob_perplexity": perplexities(soft.detach()).sum(),
            "code_perplexity": perplexities(hard.detach()).sum(),
        }
        return LossOut(loss=loss, metrics=metrics)

    def _quantize(self, features: Tensor, num_masked: list[int], batch: BatchTensors) -> Quantized:
        if not self.training:
            return self.quantizer(features)
        config = self.config
        noise = []
        for rows, address in zip(num_masked, batch.addresses, strict=True):
            seed = generator_of(self.seed, address, Lane.GUMBEL).integers(0, 2**63)
            generator = torch.Generator(features.device).manual_seed(int(seed))
            noise.append(gumbel_noise(rows, config.num_groups, config.num_codes, generator))
        temperature = gumbel_temperature(
            batch.step, config.gumbel_start, config.gumbel_floor, config.gumbel_decay
        )
        return self.quantizer(features, noise=torch.cat(noise), temperature=temperature)

    def _distractors(self, num_masked: list[int], batch: BatchTensors) -> Tensor:
        """int64[m k]: rows among the masked frames of all clips, clip after clip."""
        first, drawn = 0, []
        for rows, address in zip(num_masked, batch.addresses, strict=True):
            generator = generator_of(self.seed, address, Lane.DISTRACTORS)
            drawn.append(first + sample_distractors(rows, self.config.num_distractors, generator))
            first += rows
        return to_device(np.concatenate(drawn), self.mask_embedding.device)


def _joined_use(quantized: Quantized) -> tuple[Tensor, Tensor]:
    """float32[G V] twice: the joined batch's mean probabilities, and its shares of chosen words."""
    num_codes = quantized.probabilities.shape[2]
    chosen = functional.one_hot(quantized.codes, num_codes).float()
    sums = torch.stack([quantized.probabilities.sum(dim=0), chosen.sum(dim=0)])
    joined = gather_rows(sums[None])[0].sum(dim=0)
    soft, hard = joined / joined[1].sum(dim=1, keepdim=True)
    return soft, hard
