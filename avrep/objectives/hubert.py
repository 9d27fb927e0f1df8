"""HuBERT: the cluster of a frame is told from the frames around it (arXiv 2106.07447).

Hsu, Bolte, Tsai, Lakhotia, Salakhutdinov, Mohamed, "HuBERT: Self-Supervised Speech Representation
Learning by Masked Prediction of Hidden Units", TASLP 2021. The released code is fairseq,
models/hubert/hubert.py and criterions/hubert_criterion.py.
"""

from collections.abc import Callable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.frozen import FrozenConfig
from avrep.losses.feature_penalty import squared_features
from avrep.losses.hubert import cluster_logits, frame_labels
from avrep.losses.joined_mean import joined_mean
from avrep.models.draws import draws_from
from avrep.models.features import Encoder
from avrep.models.seeded import seeded
from avrep.models.waveform import FRAME_SAMPLES, RATE_HZ, Waveform
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.objectives.masked_sound import (
    check_spans_fit,
    draw_kept_layers,
    draw_masks,
    scale_gradient,
    sound_of,
)
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry

Labels = Callable[[BatchTensors], Tensor]
"""int64[b k]: the clusters of each clip of a batch at the config's `label_rate_hz`, the first at the
clip's first sample, on the batch's device; negative where there is none (padding). A table's rows,
or what a frozen quantiser makes of the batch's sound."""


class HubertConfig(FrozenConfig):
    """HuBERT's crops, masks, head and loss; the defaults are the released base's, iteration 1."""

    kind: Literal["hubert"] = "hubert"
    sampler: SoundConfig = SoundConfig()
    num_classes: int = Field(default=100, ge=2)
    """Clusters: 100 of MFCCs in iteration 1, 500 of layer 6 in iteration 2."""
    label_rate_hz: int = Field(default=100, ge=1)
    """Labels a second: 100 for MFCCs, 50 for an encoder's features."""
    mask_probability: float = Field(default=0.8, gt=0, le=1)
    """Share of frames that spans would cover if none overlapped."""
    mask_length: int = Field(default=10, ge=1)
    """Frames of a span, of 20 ms."""
    projection_width: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    penalty_weight: float = Field(default=10.0, ge=0)
    """Of the mean square of the convolutions' output."""
    feature_gradient_scale: float = Field(default=0.1, ge=0, le=1)
    """What the gradient that enters the convolutions is multiplied by."""
    layer_drop: float = Field(default=0.05, ge=0, lt=1)
    """Probability that a clip skips a layer, in training. Published for the whole batch at once."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_spans_fit(self.sampler, self.mask_length)
        return self


class Hubert(Objective):
    """Cross-entropy of masked frames' clusters, plus the penalty on features.

    Unmasked frames are not scored, as in the released configs. The loss is fairseq's after its
    division by the number of masked frames, with the number and the sum those of all ranks.

    Args:
        config: sizes and constants.
        encoder: the waveform encoder to train.
        labels: gives the clusters of a batch's clips.
        seed: the run's seed; first weights and every clip's mask are functions of it.
    """

    def __init__(self, config: HubertConfig, encoder: Waveform, labels: Labels, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.labels = labels
        self.seed = seed
        with seeded(seed, "hubert.head"):
            self.mask_embedding = nn.Parameter(torch.rand(encoder.width))
            self.project = nn.Linear(encoder.width, config.projection_width)
            self.cluster_embeddings = nn.Parameter(
                torch.rand(config.num_classes, config.projection_width)
            )

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
        audio, num_samples = sound_of(batch, "HuBERT")
        with draws_from(rng):
            features, num_frames = self.encoder.convolve(audio, num_samples)
            features = scale_gradient(features, config.feature_gradient_scale)
            masked = draw_masks(
                num_frames,
                features.shape[1],
                batch.addresses,
                self.seed,
                probability=config.mask_probability,
                span=config.mask_length,
            )
            hidden = self.encoder.contextualise(
                self.encoder.normalise(features),
                num_frames,
                masked=masked,
                mask_embedding=self.mask_embedding,
                kept_layers=self._kept_layers(batch),
            )
        labels = self._labels(batch, features.shape[1])
        scored = masked & (labels >= 0)
        logits = cluster_logits(
            self.project(hidden[-1][scored]),
            self.cluster_embeddings,
            temperature=config.temperature,
        )
        losses = functional.cross_entropy(logits, labels[scored], reduction="none")
        squares, num_squares = squared_features(features, num_frames)
        hits = (logits.detach().argmax(dim=1) == labels[scored]).float().sum()
        count = scored.sum()
        prediction, penalty, accuracy = joined_mean(
            torch.stack([losses.sum(), squares, hits]), torch.stack([count, num_squares, count])
        )
        metrics = {
            "prediction_loss": prediction.detach(),
            "feature_penalty": penalty.detach(),
            "masked_accuracy": accuracy.detach(),
        }
        return LossOut(loss=prediction + config.penalty_weight * penalty, metrics=metrics)

    def _kept_layers(self, batch: BatchTensors) -> Tensor | None:
        if not self.training or self.config.layer_drop == 0:
            return None
        kept = draw_kept_layers(
            self.encoder.num_layers, batch.addresses, self.seed, drop=self.config.layer_drop
        )
        return torch.from_numpy(kept).to(self.mask_embedding.device)

    def _labels(self, batch: BatchTensors, num_frames: int) -> Tensor:
        """int64[b n], negative where a frame has no label."""
        labels = self.labels(batch)
        if (
            labels.ndim != 2
            or labels.shape[0] != len(batch.addresses)
            or labels.dtype != torch.int64
        ):
            raise ValueError(
                f"labels must be int64[{len(batch.addresses)} k], "
                f"got {str(labels.dtype).removeprefix('torch.')}{list(labels.shape)}"
            )
        if int(labels.max()) >= self.config.num_classes:
            raise ValueError(
                f"label {int(labels.max())} is not below num_classes {self.config.num_classes}"
            )
        return frame_labels(labels, num_frames, RATE_HZ / FRAME_SAMPLES, self.config.label_rate_hz)
