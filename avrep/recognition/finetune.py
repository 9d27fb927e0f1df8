"""Full fine-tuning: a video encoder and a linear head, trained on labels and tested once.

OUT/
    checkpoints/        weights, optimizer and step; see avrep.training.checkpoint
    test.safetensors    what was said of the test videos so far; see `row_scores`

The state of the training is its step, so one that was killed goes on from its newest checkpoint and
ends in the same bytes. The epoch to test is chosen on train videos that were held out, never on the
test videos, which are asked once, when it is chosen.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from avrep.errors import StepNotFinite
from avrep.evaluation.action.predictions import ActionPredictions
from avrep.evaluation.embed import Progress
from avrep.models.features import Encoder
from avrep.models.weights_digest import weights_digest
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.recognition.classification import Classification
from avrep.recognition.data import (
    LabelledRows,
    TaskVideos,
    labelled_rows,
    read_digest,
    training_plan,
)
from avrep.recognition.judging import (
    SCORE,
    TOP1,
    labels_of,
    mean_probabilities,
    validation_score,
    videos_table,
)
from avrep.recognition.recipe import FinetuneRecipe
from avrep.recognition.row_scores import Progressed, RowScores, num_batches, score_rows
from avrep.recognition.training_folder import Begun, TrainingFolder
from avrep.recognition.views import ViewsConfig, crops_of, even_clips
from avrep.training.checkpoint import load_checkpoint
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.training.inputs import to_inputs
from avrep.training.optim import build_optimizer, layer_scales
from avrep.training.retention import KeepBest
from avrep.training.step import take_step
from avrep.types import Batch, RowNumbers

_Told = Callable[[int], None]


def finetune(
    encoder: Encoder,
    data: TaskVideos,
    recipe: FinetuneRecipe,
    out: Path,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    open_stream: OpenStream = plain_stream,
    checkpoint_every_steps: int | None = None,
    progress: Progress | None = None,
) -> ActionPredictions:
    """Fine-tune a video encoder on a task's train videos and ask it about the test videos.

    A call with the same arguments goes on where one was killed; one that had finished tells the same
    again.

    Args:
        encoder: with the weights to begin with; trained in place, none of it stays frozen.
        data: the task and where its videos are.
        recipe: what to do; `published.published_recipe` has the published ones.
        out: this fine-tuning's folder, and no other's.
        seed: of the head's first weights, the order, the clips, and which videos are held out.
        device: where to train; None: the CPU.
        open_stream: the plain stream, or Ray's.
        checkpoint_every_steps: beside those at the end of each epoch that is measured.
        progress: told how many of all steps and test batches are done.

    Raises:
        ConfigError: the folder holds another training; the recipe does not go with the encoder or with
            so few videos; or see `labelled_rows`.
        StepNotFinite: the loss was not finite.
        FailureBudgetExceeded: a video and all its substitutes cannot be decoded.
    """
    rows = labelled_rows(
        data.task, data.label, validation_fraction=recipe.held_out_fraction, seed=seed
    )
    plan = training_plan(rows, recipe.batch_size, recipe.draws_per_visit, seed)
    first_weights = weights_digest(encoder)
    device = device or torch.device("cpu")
    encoder.unfreeze()
    model = Classification(recipe, encoder, rows.label_of, len(rows.class_names), seed).to(device)
    asking = _Asking(model=model, data=data, device=device, open_stream=open_stream)
    training = _Training(
        asking=asking,
        rows=rows,
        plan=plan,
        optimizer=build_optimizer(model.named_parameters(), recipe.optim, lr_scales(model, recipe)),
    )
    folder = TrainingFolder(
        path=out,
        decides={
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "label": data.label,
            "classes": list(rows.class_names),
            "first_weights": first_weights,
        },
        data_digest=read_digest(data, rows, plan),
    )
    num_steps = training.num_steps
    total = num_steps + num_batches(rows.test, recipe.views.batch_size)

    def told(done: int) -> None:
        if progress:
            progress(done, total)

    done = training.run(folder, checkpoint_every_steps, told)
    checkpoint, state = folder.best(SCORE)
    load_checkpoint(checkpoint, model)
    scores = asking.test(rows.test, out, lambda done: told(num_steps + done))
    return ActionPredictions(
        protocol="finetune",
        label=data.label,
        class_names=rows.class_names,
        videos=videos_table(data, scores),
        train_labels=data.train_labels(),
        num_valid=len(rows.valid),
        failures=scores.failures,
        settings={
            **_settings(recipe),
            "seed": seed,
            "tested_epoch": state.step / plan.steps_per_epoch,
            "validation_groups": rows.num_valid_groups,
            **({TOP1: state.metrics[TOP1]} if TOP1 in state.metrics else {}),
        },
        notes=(
            *rows.notes(recipe.held_out_fraction, "the last epoch"),
            *done.notes(),
            *recipe.differs,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """A model, and how videos are shown to it."""

    model: Classification
    data: TaskVideos
    device: torch.device
    open_stream: OpenStream

    def test(self, rows: RowNumbers, out: Path, told: _Told) -> RowScores:
        """By all clips and crops; goes on where it was stopped."""
        recipe = self.model.recipe
        digest = hashlib.sha256(weights_digest(self.model).encode())
        digest.update(recipe.model_dump_json().encode())
        digest.update(rows.astype("<i8").tobytes())
        digest.update(self.data.catalog.digest.encode())
        kept = Progressed(path=out / "test.safetensors", digest=digest.hexdigest())
        return self._ask(rows, recipe.views, kept, told)

    def validate(self, rows: RowNumbers) -> RowScores:
        """By one clip from the middle, and its central crop."""
        one = {"num_clips": 1, "num_crops": 1}
        return self._ask(rows, self.model.recipe.views.model_copy(update=one))

    def _ask(
        self,
        rows: RowNumbers,
        views: ViewsConfig,
        kept: Progressed | None = None,
        told: _Told | None = None,
    ) -> RowScores:
        recipe = self.model.recipe
        crops = crops_of(views, recipe.augment)
        self.model.eval()
        return score_rows(
            self.data,
            rows,
            even_clips(recipe.clip, views.num_clips, crops.short_side_px),
            crops,
            lambda clips: mean_probabilities(
                clips, self.model.logits, views.average, recipe.precision
            ),
            batch_size=views.batch_size,
            device=self.device,
            open_stream=self.open_stream,
            kept=kept,
            on_batch=told,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """The steps of one fine-tuning."""

    asking: _Asking
    rows: LabelledRows
    plan: Plan
    optimizer: torch.optim.Optimizer

    @property
    def num_steps(self) -> int:
        return self.asking.model.recipe.num_epochs * self.plan.steps_per_epoch

    @property
    def source(self) -> StreamSource:
        (spec,) = self.asking.model.view_specs()
        return self.asking.data.source(self.plan, spec)

    def run(self, folder: TrainingFolder, checkpoint_every_steps: int | None, told: _Told) -> Begun:
        """Take all steps that are not taken yet, and measure on the way."""
        model = self.asking.model
        done = folder.resume(model, self.optimizer)
        told(done.step)
        keep = KeepBest(metric=SCORE, mode="max")
        with CheckpointWriter(folder.store, keep_last=1, keep_best=keep) as writer:
            while done.step < self.num_steps:
                end = self._next_measure(done.step)
                model.train()
                # One stream at a time: those of Ray want cores of their own.
                with self.asking.open_stream(self.source, range(done.step, end)) as stream:
                    for batch in stream:
                        self._step(batch)
                        done.add(batch.step + 1, batch.failures)
                        told(done.step)
                        is_due = checkpoint_every_steps and done.step % checkpoint_every_steps == 0
                        if is_due and done.step < end:
                            writer.save(folder.state(done), model, self.optimizer)
                measured = self._measure(done)
                writer.save(folder.state(done, measured), model, self.optimizer)
        return done

    def _step(self, batch: Batch) -> None:
        asking, recipe = self.asking, self.asking.model.recipe
        try:
            take_step(
                asking.model,
                self.optimizer,
                to_inputs(batch, asking.model, self.plan.seed, asking.device),
                lr=recipe.lr_at(batch.step, self.plan.steps_per_epoch),
                precision=recipe.precision,
                seed=self.plan.seed,
                max_grad_norm=recipe.max_grad_norm,
                num_micro_batches=recipe.num_micro_batches,
            )
        except FloatingPointError as error:
            raise StepNotFinite(f"fine-tuning: {error}; lower optim.lr") from error

    def _next_measure(self, done: int) -> int:
        """The step at which held-out videos are asked next."""
        every = self.asking.model.recipe.validate_every_epochs * self.plan.steps_per_epoch
        return min((done // every + 1) * every, self.num_steps)

    def _measure(self, done: Begun) -> dict[str, float]:
        if len(self.rows.valid) == 0:
            return {}
        scores = self.asking.validate(self.rows.valid)
        done.add(done.step, scores.failures)
        return validation_score(scores.scores, labels_of(scores, self.rows))


def lr_scales(model: Classification, recipe: FinetuneRecipe) -> dict[nn.Parameter, float]:
    """What the learning rate is multiplied by, for each parameter of the encoder."""
    scales = layer_scales(model.encoders(), recipe.optim.layer_decay)
    return {
        parameter: recipe.encoder_lr_scale * scales.get(parameter, 1.0)
        for parameter in model.encoder.parameters()
    }


def _settings(recipe: FinetuneRecipe) -> dict[str, str | int | float | bool]:
    """What of a recipe decides the numbers most."""
    return {
        "recipe": recipe.name,
        "epochs": recipe.num_epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optim.name,
        "lr": recipe.optim.lr,
        "weight_decay": recipe.optim.weight_decay,
        "frames": recipe.clip.num_frames,
        "stride": recipe.clip.stride,
        "crop_px": recipe.augment.crop_px,
        "clips": recipe.views.num_clips,
        "crops": recipe.views.num_crops,
    }
