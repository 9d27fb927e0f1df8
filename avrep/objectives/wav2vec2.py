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

from avrep.frozen import FrozenConfig
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
from avrep.models.features import Encoder
from avrep.models.gumbel_quantizer import GumbelQuantizer, Quantized, gumbel_noise
from avrep.models.seeded import seeded
from avrep.models.waveform import RATE_HZ, Waveform
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.objectives.masked_sound import (
    Lane,
    check_spans_fit,
    draw_kept_layers,
    draw_masks,
    generator_of,
    scale_gradient,
    sound_of,
)
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry


class Wav2vec2Config(FrozenConfig):
    """wav2vec 2.0's crops, masks, quantiser and loss; the defaults are the released base's."""

    kind: Literal["wav2vec2"] = "wav2vec2"
    sampler: SoundConfig = SoundConfig()
    mask_probability: float = Field(default=0.65, gt=0, le=1)
    """Share of frames that spans would cover if none overlapped; the paper's p = 0.065 starts a
    frame times 10 frames."""
    mask_length: int = Field(default=10, ge=1)
    """Frames of a span, of 20 ms."""
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
    penalty_weight: float = Field(default=10.0, ge=0)
    """Of the mean square of the convolutions' output; the released large has 0."""
    feature_gradient_scale: float = Field(default=0.1, ge=0, le=1)
    """What the gradient that enters the convolutions is multiplied by; the released large has 1."""
    feature_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On what the quantiser sees."""
    layer_drop: float = Field(default=0.05, ge=0, lt=1)
    """Probability that a clip skips a layer, in training. Published for the whole batch at once."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_spans_fit(self.sampler, self.mask_length)
        if self.projection_width % self.num_groups:
            raise ValueError(
                f"projection_width {self.projection_width} is no multiple of "
                f"num_groups {self.num_groups}"
            )
        return self


def gumbel_temperature(step: int, start: float, floor: float, decay: float) -> float:
    """max(start * decay^step, floor), with `step` the updates made before (released code)."""
    return max(start * decay**step, floor)


class Wav2vec2(Objective):
    """Contrast over masked frames, plus diversity of the codes and the penalty on features.

    The loss is fairseq's after its division by the number of masked frames, with the number and
    the sums those of all ranks; the diversity is that of the joined batch. In evaluation mode the
    quantiser takes the likeliest words and nothing is dropped, but frames are masked all the same.

    Args:
        config: sizes and constants.
        encoder: the waveform encoder to train.
        seed: the run's seed; first weights and all that is drawn for a clip are functions of it.
    """

    def __init__(self, config: Wav2vec2Config, encoder: Waveform, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.seed = seed
        width = config.projection_width
        with seeded(seed, "wav2vec2.head"):
            self.mask_embedding = nn.Parameter(torch.rand(encoder.width))
            self.quantizer = GumbelQuantizer(
                encoder.conv_width, config.num_groups, config.num_codes, width
            )
            self.project_context = nn.Linear(encoder.width, width)
            self.project_targets = nn.Linear(width, width)

    def view_specs(self) -> tuple[ViewSpec, ...]:
        geometry = Geometry(rate_hz=RATE_HZ)
        sampler = self.config.sampler
        return (ViewSpec(sampler=sampler, geometry=geometry),)

    def augments(self) -> tuple[None, ...]:
        return (None,)

    def encoders(self) -> dict[str, Encoder]:
        return {"audio": self.encoder}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        config = self.config
        audio, num_samples = sound_of(batch, "wav2vec 2.0")
        with draws_from(rng):
            raw, num_frames = self.encoder.convolve(audio, num_samples)
            raw = scale_gradient(raw, config.feature_gradient_scale)
            features = self.encoder.normalise(raw)
            masked = draw_masks(
                num_frames,
                features.shape[1],
                batch.addresses,
                self.seed,
                probability=config.mask_probability,
                span=config.mask_length,
            )
            hidden = self.encoder.contextualise(
                features,
                num_frames,
                masked=masked,
                mask_embedding=self.mask_embedding,
                kept_layers=self._kept_layers(batch),
            )
            seen = functional.dropout(features[masked], config.feature_dropout, self.training)
        num_masked = masked.sum(dim=1).tolist()
        quantized = self._quantize(seen, num_masked, batch)
        logits = contrastive_logits(
            self.project_context(hidden[-1][masked]),
            self.project_targets(quantized.vectors),
            quantized.codes,
            self._distractors(num_masked, batch),
            temperature=config.temperature,
        )
        return self._loss(logits, quantized, *squared_features(raw, num_frames))

    def _loss(
        self, logits: Tensor, quantized: Quantized, squares: Tensor, num_squares: Tensor
    ) -> LossOut:
        losses = functional.cross_entropy(
            logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="none"
        )
        # More than all others: where all are alike nothing was told apart.
        hits = (logits[:, 0] > logits[:, 1:].amax(dim=1)).float().sum()
        count = torch.full_like(num_squares, logits.shape[0])
        contrast, penalty, accuracy = joined_mean(
            torch.stack([losses.sum(), squares, hits]), torch.stack([count, num_squares, count])
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
        return torch.from_numpy(np.concatenate(drawn)).to(self.mask_embedding.device)

    def _kept_layers(self, batch: BatchTensors) -> Tensor | None:
        if not self.training or self.config.layer_drop == 0:
            return None
        kept = draw_kept_layers(
            self.encoder.num_layers, batch.addresses, self.seed, drop=self.config.layer_drop
        )
        return torch.from_numpy(kept).to(self.mask_embedding.device)


def _joined_use(quantized: Quantized) -> tuple[Tensor, Tensor]:
    """float32[G V] twice: the joined batch's mean probabilities, and its shares of chosen words."""
    num_codes = quantized.probabilities.shape[2]
    chosen = functional.one_hot(quantized.codes, num_codes).float()
    sums = torch.stack([quantized.probabilities.sum(dim=0), chosen.sum(dim=0)])
    joined = gather_rows(sums[None])[0].sum(dim=0)
    soft, hard = joined / joined[1].sum(dim=1, keepdim=True)
    return soft, hard
