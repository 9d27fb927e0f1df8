"""V-JEPA: predict a teacher's features of hidden blocks (arXiv 2404.08471).

Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran, Ballas, "Revisiting Feature Prediction for Learning
Visual Representations from Video", TMLR 2024. The released code is facebookresearch/jepa.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from avrep import rng as addressed
from avrep.errors import ConfigError
from avrep.losses.vjepa import masked_l1, normalised_features, spread_over_clips
from avrep.models.features import Encoder
from avrep.models.masks import (
    LONG_RANGE,
    SHORT_RANGE,
    BlockMaskConfig,
    block_mask,
    block_size,
    may_cover,
    stacked,
    take_places,
    truncated,
)
from avrep.models.momentum import MomentumCopy, linear_momentum
from avrep.models.seeded import seeded
from avrep.models.vjepa_predictor import VjepaPredictor, VjepaPredictorConfig
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_clips import MaskedClips, MaskedClipsConfig
from avrep.types import Address

# Lanes from here on are for the sizes of blocks, those below for clips.
_SIZE_LANE = 1 << 16

_Momentum = Annotated[float, Field(ge=0, le=1)]


class VjepaConfig(MaskedClipsConfig):
    """V-JEPA's clips, masks, predictor and teacher; the defaults are the released recipe's.

    The released code crops frames as they are stored.
    """

    kind: Literal["vjepa"] = "vjepa"
    masks: tuple[BlockMaskConfig, ...] = Field(
        default=(SHORT_RANGE, LONG_RANGE), min_length=1, max_length=8
    )
    """Ways of masking; each clip is masked in all of them. Short range: 8 blocks of 0.15 of a frame;
    long range: 2 blocks of 0.7."""
    predictor: VjepaPredictorConfig = VjepaPredictorConfig()
    """384-d, 12 blocks, 16 heads."""
    momentum: tuple[_Momentum, _Momentum] = (0.998, 0.9996)
    """Share of the teacher's weights that stays, at the first step and at the end. The released
    schedule goes to 1 in 1.25 times as many steps as are taken. V-JEPA 2: 0.99925 throughout."""


class Vjepa(MaskedClips):
    """The mean absolute difference between a teacher's features of hidden places and their prediction.

    The encoder sees what no block covers. From its tokens a narrow transformer predicts the hidden
    places' features; the targets are those that a momentum copy of the encoder, shown the whole
    clip, gives these places, each token normalised by itself. The loss is the mean over the ways of
    masking. The teacher moves on in `after_step`. Wanted is a `TubeletVit` with "separable"
    positions; others are taken too. The encoder that is trained is handed to evaluators; the
    published results are the teacher's, which at a momentum near 1 follows it.

    Masks: the size of the blocks is a function of (seed, step), their places one of (seed, the
    clip's address, the view's number). As released, kept and hidden places are cut to the
    shortest of the batch, which here is that of all ranks, so that ranks train as one.

    What is not as published: the gradient is clipped as a whole and from the first step on.

    Args:
        config: sizes and constants.
        encoder: the video encoder to train, a `TubeletVit` built for the config's clips.
        seed: the run's seed; the predictor's first weights and all masks are functions of it.

    Raises:
        ConfigError: the encoder is another, or is built for other clips, or a block may cover a
            whole frame.
    """

    def __init__(self, config: VjepaConfig, encoder: Encoder, seed: int) -> None:
        super().__init__(
            "vjepa",
            config,
            encoder,
            area=(0.3, 1.0),
            aspect=(0.75, 1.35),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )
        grid = self.encoder.config.grid
        for number, blocks in enumerate(config.masks):
            if may_cover(grid, blocks):
                raise ConfigError(
                    f"objective.masks.{number}.scale is {blocks.scale}: a block may cover all "
                    f"{grid[1]} x {grid[2]} places of a frame, and nothing would be seen; lower it"
                )
        with seeded(seed, "vjepa.predictor"):
            self.predictor = VjepaPredictor(
                config.predictor,
                encoder_width=self.encoder.width,
                grid=grid,
                num_mask_kinds=len(config.masks),
            )
        self.teacher = MomentumCopy(self.encoder)
        self.config = config
        self._seed = seed

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        video = self.joined_video(batch)
        whole = self.teacher(video, None, rng)
        targets = normalised_features(whole.tokens)
        losses: list[Tensor] = []
        for mask_kind in range(len(self.config.masks)):
            kept, masked = self.draw_masks(batch, mask_kind, video.device)
            seen = self.encoder(video, kept, rng)
            predicted = self.predictor(seen.tokens, kept, masked, seen.grid, mask_kind)
            losses.append(masked_l1(predicted, take_places(targets, masked)))
        metrics = {
            "teacher_spread": spread_over_clips(whole.pooled),
            "target_magnitude": targets.abs().mean(),
        }
        for mask_kind, loss in enumerate(losses):
            metrics[f"mask{mask_kind}_loss"] = loss.detach()
        return LossOut(loss=torch.stack(losses).mean(), metrics=metrics)

    def after_step(self, step: int, total_steps: int) -> None:
        first, last = self.config.momentum
        self.teacher.update(self.encoder, linear_momentum(step, total_steps, first, last))

    def draw_masks(
        self, batch: BatchTensors, mask_kind: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Kept and masked places of all clips, int64[b k] and int64[b m], the first view's first.

        Every rank must call, in the same order. Those of a micro-batch are cut as its rank's whole
        share is.
        """
        stage, blocks = addressed.Stage.OBJECTIVE, self.config.masks[mask_kind]
        grid, num_kinds = self.encoder.config.grid, len(self.config.masks)
        of_step = addressed.at(self._seed, stage, Address(batch.step, 0), _SIZE_LANE + mask_kind)
        size = block_size(grid, blocks, of_step)
        masks, own = [], []
        for view in range(len(batch.views)):
            for row, address in enumerate(batch.whole.addresses):
                if batch.rows.start <= row < batch.rows.stop:
                    own.append(len(masks))
                draws = addressed.at(self._seed, stage, address, view * num_kinds + mask_kind)
                masks.append(block_mask(grid, size, blocks.num_blocks, draws))
        cut = truncated(masks, device)
        return stacked([cut[number] for number in own], device)
