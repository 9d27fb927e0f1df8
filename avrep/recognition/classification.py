"""An encoder and a linear head trained on labels together: fine-tuning as an objective."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep import rng as addressed
from avrep.augment.mixing import draw_mixing, mix_clips, mix_targets
from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import ConfigError
from avrep.models.draws import draws_from
from avrep.models.features import Encoder
from avrep.models.seeded import seeded
from avrep.models.tubelet_vit import TubeletVit
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.recognition.recipe import FinetuneRecipe
from avrep.recognition.views import random_clips
from avrep.sampling.spec import ViewSpec
from avrep.transfer import to_device


class Classification(Objective):
    """Cross-entropy of the classes that a linear layer reads from pooled features.

    With mixing, clip i of a step is mixed with clip n - 1 - i of the same step, as in timm's Mixup;
    what is drawn for it is a function of (seed, its address).

    Args:
        recipe: dropout, mixing, smoothing, clips.
        encoder: trained too.
        label_of: catalogue row -> class.
        num_classes: of the labels.
        seed: the head's first weights and what is mixed are functions of it.

    Raises:
        ConfigError: the recipe drops paths of an encoder that has none.
    """

    def __init__(
        self,
        recipe: FinetuneRecipe,
        encoder: Encoder,
        label_of: Mapping[int, int],
        num_classes: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = encoder
        self._label_of = label_of
        self._seed = seed
        set_drop_path(encoder, recipe.drop_path)
        self.dropout = nn.Dropout(recipe.dropout)
        with seeded(seed, "finetune.head"):
            self.head = nn.Linear(encoder.width, num_classes)
            if recipe.head_std is not None:
                nn.init.trunc_normal_(self.head.weight, std=recipe.head_std)
                nn.init.zeros_(self.head.bias)

    def view_specs(self) -> tuple[ViewSpec, ...]:
        recipe = self.recipe
        return (random_clips(recipe.clip, 1, recipe.short_side_px, recipe.form),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        return (self.recipe.augment,)

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.encoder}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        clips = _video(batch)
        targets = self._targets(batch)
        if self.recipe.mixing is not None:
            clips, targets = self._mixed(batch, clips, targets)
        logits = self.logits(clips, rng).float()
        loss = functional.cross_entropy(
            logits, targets, label_smoothing=self.recipe.label_smoothing
        )
        return LossOut(loss=loss)

    def logits(self, clips: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """float[b classes] of float[b 3 t h w].

        Args:
            clips: augmented, or cropped for a test.
            rng: for what is dropped while training.
        """
        if isinstance(self.encoder, TubeletVit):
            pooled = self.encoder(clips, rng=rng).pooled
        else:
            pooled = self.encoder(clips).pooled
        if rng is None:
            return self.head(pooled)
        with draws_from(rng):
            return self.head(self.dropout(pooled))

    def _targets(self, batch: BatchTensors) -> Tensor:
        labels = torch.tensor([self._label_of[address.item] for address in batch.addresses])
        hot = functional.one_hot(labels, self.head.out_features).float()
        return to_device(hot, self.head.weight.device)

    def _mixed(self, batch: BatchTensors, clips: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        assert self.recipe.mixing is not None
        whole = batch.whole
        partners = range(len(whole.addresses) - 1, -1, -1)[batch.rows]
        rngs = [
            addressed.at(self._seed, addressed.Stage.OBJECTIVE, address)
            for address in batch.addresses
        ]
        mixing = draw_mixing(self.recipe.mixing, clips.shape[3], clips.shape[4], rngs)
        others = _video(whole)[list(partners)]
        other_targets = self._targets(whole)[list(partners)]
        return mix_clips(clips, others, mixing), mix_targets(targets, other_targets, mixing)


def set_drop_path(encoder: Encoder, chance: float) -> None:
    """Have an encoder drop paths from now on: `chance` in its last block, 0 in the first.

    Raises:
        ConfigError: it is no vision transformer, and the chance is not 0.
    """
    if isinstance(encoder, TubeletVit):
        encoder.transformer.set_drop_path(chance)
    elif chance:
        raise ConfigError(
            f"drop_path is {chance:g}, but {type(encoder).__name__} has no paths to drop; set it to 0"
        )


def _video(batch: BatchTensors) -> Tensor:
    video = batch.views[0].video
    if video is None or len(batch.views) != 1:
        raise ValueError(f"fine-tuning wants one view with video, got {len(batch.views)} views")
    return video
