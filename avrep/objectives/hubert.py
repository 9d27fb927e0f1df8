"""HuBERT: the cluster of a frame is told from the frames around it (arXiv 2106.07447).

Hsu, Bolte, Tsai, Lakhotia, Salakhutdinov, Mohamed, "HuBERT: Self-Supervised Speech Representation
Learning by Masked Prediction of Hidden Units", TASLP 2021. The released code is fairseq,
models/hubert/hubert.py and criterions/hubert_criterion.py.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from avrep.losses.feature_penalty import squared_features
from avrep.losses.hubert import cluster_logits, frame_labels
from avrep.losses.joined_mean import joined_mean
from avrep.media.catalog import Catalog
from avrep.models.draws import draws_from
from avrep.models.seeded import seeded
from avrep.models.waveform import FRAME_SAMPLES, RATE_HZ, Waveform
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_sound import MaskedSound, MaskedSoundConfig, rows_at
from avrep.objectives.stored_labels import StoredLabels
from avrep.transfer import to_device

Labels = Callable[[BatchTensors], Tensor]
"""int64[b k]: the clusters of each clip of a batch at the config's `label_rate_hz`, the first at the
clip's first sample; negative where there is none (padding, an item without labels). `StoredLabels`, or
what a frozen quantiser makes of the batch's sound: on a GPU it is waited for."""


class HubertConfig(MaskedSoundConfig):
    """HuBERT's crops, masks, head and loss; the defaults are the released base's, iteration 1."""

    kind: Literal["hubert"] = "hubert"
    labels: str
    """The folder that `avrep label` wrote, of the corpus that is trained on."""
    num_classes: int = Field(default=100, ge=2)
    """Clusters: 100 of MFCCs in iteration 1, 500 of layer 6 in iteration 2."""
    label_rate_hz: int = Field(default=100, ge=1)
    """Labels a second: 100 for MFCCs, 50 for an encoder's features."""
    mask_probability: float = Field(default=0.8, gt=0, le=1)
    """Share of frames that spans would cover if none overlapped."""
    projection_width: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.1, gt=0)


class Hubert(MaskedSound):
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
        super().__init__(config, encoder, seed)
        self.config = config
        self.labels = labels
        with seeded(seed, "hubert.head"):
            self.mask_embedding = nn.Parameter(torch.rand(encoder.width))
            self.project = nn.Linear(encoder.width, config.projection_width)
            self.cluster_embeddings = nn.Parameter(
                torch.rand(config.num_classes, config.projection_width)
            )

    def check_catalog(self, catalog: Catalog) -> None:
        if isinstance(self.labels, StoredLabels):
            self.labels.check(catalog)

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        config = self.config
        with draws_from(rng):
            encoded = self.encode(batch)
        share_labels = self._labels(batch.whole, encoded.masked.shape[1])
        share_scored = encoded.share_masked & (share_labels >= 0)
        scored = share_scored[batch.rows]
        labels = to_device(share_labels[batch.rows][scored], encoded.raw.device)
        logits = cluster_logits(
            self.project(rows_at(encoded.contexts, scored)),
            self.cluster_embeddings,
            temperature=config.temperature,
        )
        losses = functional.cross_entropy(logits, labels, reduction="none")
        squares = squared_features(encoded.raw, encoded.num_frames)
        num_squares = encoded.share_frames.sum() * encoded.raw.shape[2]
        hits = (logits.detach().argmax(dim=1) == labels).float().sum()
        count = share_scored.sum()
        prediction, penalty, accuracy = joined_mean(
            torch.stack([losses.sum(), squares, hits]),
            torch.stack([count, num_squares, count]),
            batch.num_micro_batches,
        )
        metrics = {
            "prediction_loss": prediction.detach(),
            "feature_penalty": penalty.detach(),
            "masked_accuracy": accuracy.detach(),
        }
        return LossOut(loss=prediction + config.penalty_weight * penalty, metrics=metrics)

    def _labels(self, batch: BatchTensors, num_frames: int) -> Tensor:
        """int64[b n] on the host, negative where a frame has no label."""
        labels = self.labels(batch).cpu()
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
