"""Fine-tuning on a tiny corpus: killed and resumed it is the same to the bit, and the test waits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avrep.errors import ConfigError, StepNotFinite
from avrep.evaluation.action.predictions import ActionPredictions
from avrep.models.features import Encoder
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.weights_digest import weights_digest
from avrep.recognition.classification import Classification
from avrep.recognition.data import TaskVideos
from avrep.recognition.finetune import finetune, lr_scales
from avrep.recognition.judging import TOP1
from avrep.recognition.recipe import FinetuneRecipe, crop_and_flip
from avrep.recognition.views import ViewsConfig
from avrep.sampling.clips import ClipConfig

from .watched import Watched

RECIPE = FinetuneRecipe(
    clip=ClipConfig(num_frames=4, stride=2),
    short_side_px=32,
    augment=crop_and_flip(32),
    dropout=0.2,
    batch_size=4,
    num_epochs=2,
    warmup_epochs=1,
    views=ViewsConfig(num_clips=2, num_crops=3, short_side_px=32, batch_size=3),
    validation_fraction=0.25,
)
# 12 of 16 train videos: 3 steps an epoch.
NUM_STEPS = 6


class Killed(Exception):
    """Stands for a process that ends."""


def make_encoder() -> Encoder:
    return build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), seed=0)


@dataclass(frozen=True)
class Finished:
    out: Path
    encoder: Encoder
    predictions: ActionPredictions
    watched: Watched


@pytest.fixture(scope="module")
def finished(synth_action: TaskVideos, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Undisturbed from the start to the end."""
    out, encoder, watched = tmp_path_factory.mktemp("finetune"), make_encoder(), Watched()
    predictions = finetune(encoder, synth_action, RECIPE, out, open_stream=watched)
    return Finished(out, encoder, predictions, watched)


def killed_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        assert done <= total
        if done == step:
            raise Killed

    return progress


def test_killed_and_resumed_is_as_undisturbed(
    finished: Finished, synth_action: TaskVideos, tmp_path: Path
) -> None:
    """In the first epoch, after a checkpoint in the second, and in the test."""
    for step in (2, 5, NUM_STEPS + 1):
        with pytest.raises(Killed):
            finetune(
                make_encoder(),
                synth_action,
                RECIPE,
                tmp_path,
                checkpoint_every_steps=2,
                progress=killed_at(step),
            )
    encoder, seen = make_encoder(), list[int]()
    again = finetune(
        encoder, synth_action, RECIPE, tmp_path, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] == NUM_STEPS
    np.testing.assert_array_equal(again.probabilities, finished.predictions.probabilities)
    assert weights_digest(encoder) == weights_digest(finished.encoder)
    assert again.settings == finished.predictions.settings
    # Whichever epoch was chosen, the last is the same, and so is the optimizer's state.
    last = Path("checkpoints") / f"step-{NUM_STEPS:08d}"
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (tmp_path / last / name).read_bytes() == (finished.out / last / name).read_bytes()


def test_every_test_video_has_a_row_in_order(finished: Finished, synth_action: TaskVideos) -> None:
    predictions, catalog = finished.predictions, synth_action.catalog
    assert predictions.videos.keys == tuple(catalog[int(row)].key for row in synth_action.task.test)
    assert predictions.class_names == ("fast", "slow")
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-5)
    by_metric = {score.metric: score for score in predictions.scores()}
    assert set(by_metric) == {"top1", "mean_class"}
    truth = predictions.videos.label_set("speed")
    np.testing.assert_array_equal(
        by_metric["top1"].values, predictions.predicted == np.array(truth)
    )
    assert 0 <= float(predictions.settings[TOP1]) <= 1
    assert predictions.settings["tested_epoch"] in (1, 2)


def test_the_test_videos_are_asked_once_when_all_is_chosen(
    finished: Finished, synth_action: TaskVideos
) -> None:
    test = frozenset(synth_action.task.test.tolist())
    train = frozenset(synth_action.task.train.tolist())
    *before, last = finished.watched.opened
    assert last == (False, test, range(3))
    assert not any(rows & test for _, rows, _ in before)
    fit = {rows for is_training, rows, _ in before if is_training}
    valid = {rows for is_training, rows, _ in before if not is_training}
    assert fit.pop() | valid.pop() == train
    assert not fit
    assert not valid


def test_what_is_finished_is_told_again_without_a_stream(
    finished: Finished, synth_action: TaskVideos, watched: Watched
) -> None:
    again = finetune(make_encoder(), synth_action, RECIPE, finished.out, open_stream=watched)
    assert watched.opened == []
    np.testing.assert_array_equal(again.probabilities, finished.predictions.probabilities)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipe": {"dropout": 0.3}}, r"recipe\.dropout: 0\.2 -> 0\.3"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"label": "colour"}, "label: 'speed' -> 'colour'"),
    ],
)
def test_a_folder_is_of_one_fine_tuning(
    finished: Finished, synth_action: TaskVideos, change: dict[str, Any], told: str
) -> None:
    recipe = RECIPE.model_copy(update=change.get("recipe", {}))
    with pytest.raises(ConfigError, match=f"holds another training .*{told}"):
        finetune(
            make_encoder(),
            replace(synth_action, label=change.get("label", "speed")),
            recipe,
            finished.out,
            seed=change.get("seed", 0),
        )


def test_the_last_epoch_is_trained_on_all_and_what_was_frozen_is_trained_too(
    synth_action: TaskVideos, watched: Watched, tmp_path: Path
) -> None:
    update = {"choose": "last", "num_epochs": 1, "draws_per_visit": 2, "batch_size": 16}
    recipe = RECIPE.model_copy(update=update)
    encoder = make_encoder()
    encoder.freeze()
    stem = next(encoder.parameters())
    before = stem.detach().clone()
    predictions = finetune(encoder, synth_action, recipe, tmp_path, open_stream=watched)
    assert not torch.equal(stem, before)
    train = frozenset(synth_action.task.train.tolist())
    assert watched.opened[0] == (True, train, range(2))
    assert len(watched.opened) == 2
    assert predictions.settings["tested_epoch"] == 1
    assert TOP1 not in predictions.settings


def test_a_loss_that_is_not_finite_stops_it(synth_action: TaskVideos, tmp_path: Path) -> None:
    optim = RECIPE.optim.model_copy(update={"name": "sgd", "lr": 1e30})
    recipe = RECIPE.model_copy(update={"optim": optim, "warmup_epochs": 0})
    with pytest.raises(
        StepNotFinite, match=r"fine-tuning: the loss of step \d is .*lower optim.lr"
    ):
        finetune(make_encoder(), synth_action, recipe, tmp_path)


def test_rates_fall_with_depth_and_the_head_learns_at_the_full_one() -> None:
    optim = RECIPE.optim.model_copy(update={"layer_decay": 0.5})
    recipe = RECIPE.model_copy(update={"optim": optim, "encoder_lr_scale": 0.1})
    model = Classification(recipe, make_encoder(), {0: 0}, 2, seed=0)
    scales = lr_scales(model, recipe)
    assert set(scales) == set(model.encoder.parameters())
    stem = next(model.encoder.parameters())
    last = next(model.encoder.blocks()[-1].parameters())
    assert (scales[stem], scales[last]) == (pytest.approx(0.1 * 0.5**5), pytest.approx(0.05))
    assert not set(scales) & set(model.head.parameters())
