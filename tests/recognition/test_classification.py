"""Fine-tuning's loss by hand, and what is drawn for it: by address, or from the step's generator."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avrep import rng
from avrep.augment.mixing import MixingConfig, draw_mixing, mix_clips, mix_targets
from avrep.errors import ConfigError
from avrep.models.features import Encoder, Features
from avrep.models.transformer import Block
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.recognition.classification import Classification
from avrep.recognition.recipe import FinetuneRecipe
from avrep.training.micro_batches import micro_batches
from avrep.types import Address

LABEL_OF = {row: row % 3 for row in range(12)}
VIT = TubeletVitConfig(size="micro", patch_px=8, num_frames=2, crop_px=16)


class Corner(Encoder):
    """Each clip's first pixels."""

    def forward(self, clips: Tensor, /) -> Features:
        pooled = clips[:, :, 0, 0, 0]
        return Features(tokens=pooled[:, None], grid=(1, 1, 1), pooled=pooled)


def make_batch(num: int = 4) -> BatchTensors:
    torch.manual_seed(0)
    view = ViewTensors(video=torch.randn(num, 3, 2, 16, 16), pts_s=torch.zeros(num, 2))
    addresses = tuple(Address(0, item) for item in range(num))
    return BatchTensors(step=0, views=(view,), addresses=addresses)


def make(encoder: Encoder | None = None, **recipe: Any) -> Classification:
    return Classification(FinetuneRecipe(**recipe), encoder or Corner(3), LABEL_OF, 3, seed=1)


def loss(model: Classification, batch: BatchTensors, seed: int = 0) -> float:
    return float(model(batch, torch.Generator().manual_seed(seed)).loss.detach())


def test_smoothed_cross_entropy_by_hand() -> None:
    model, batch = make(label_smoothing=0.3), make_batch()
    video = batch.views[0].video
    assert video is not None
    log_p = model.logits(video).detach().log_softmax(dim=1)
    wanted = -sum(
        (0.8 if label == LABEL_OF[row] else 0.1) * float(log_p[row, label])
        for row in range(4)
        for label in range(3)
    )
    assert loss(model, batch) == pytest.approx(wanted / 4)


def test_mixed_clips_have_mixed_labels() -> None:
    model, batch = make(mixing=MixingConfig()), make_batch()
    video = batch.views[0].video
    assert video is not None
    rngs = [rng.at(1, rng.Stage.OBJECTIVE, address) for address in batch.addresses]
    mixing = draw_mixing(MixingConfig(), 16, 16, rngs)
    hot = functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    clips = mix_clips(video, video.flip(0), mixing)
    wanted = functional.cross_entropy(model.logits(clips), mix_targets(hot, hot.flip(0), mixing))
    assert loss(model, batch) == pytest.approx(float(wanted.detach()))


def test_micro_batches_mix_as_the_whole_does() -> None:
    model, batch = make(mixing=MixingConfig()), make_batch(6)
    parts = [loss(model, part) for part in micro_batches(batch, 3)]
    assert sum(parts) / 3 == pytest.approx(loss(model, batch), rel=1e-6)


def test_dropout_draws_from_the_steps_generator_and_tests_drop_nothing() -> None:
    model, batch = make(dropout=0.5), make_batch()
    torch.manual_seed(9)
    first = loss(model, batch)
    assert loss(model, batch) == first
    assert loss(model, batch, seed=1) != first
    video = batch.views[0].video
    assert video is not None
    model.eval()
    torch.testing.assert_close(model.logits(video), model.head(video[:, :, 0, 0, 0]))


def test_paths_are_dropped_as_the_recipe_says_whatever_was_before() -> None:
    encoder = build_tubelet_vit(VIT.model_copy(update={"drop_path": 0.5}), seed=0)
    blocks = [block for block in encoder.transformer.blocks if isinstance(block, Block)]
    make(encoder)
    assert {block.drop_path for block in blocks} == {0.0}
    model = make(encoder, drop_path=0.3)
    assert [block.drop_path for block in blocks] == pytest.approx([0, 0.1, 0.2, 0.3])
    batch = make_batch()
    assert loss(model, batch, seed=1) != loss(model, batch, seed=2)
    with pytest.raises(ConfigError, match="Corner has no paths to drop"):
        make(drop_path=0.1)


def test_the_head_starts_as_asked_and_the_same_for_a_seed() -> None:
    assert make().head.weight.equal(make().head.weight)
    small = make(head_std=2e-5).head
    assert 0 < small.weight.abs().max() < 1e-4
    assert not small.bias.any()
