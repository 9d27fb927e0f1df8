"""Measuring a run's video encoder by training on labels: fine-tuned, or by an attentive probe."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from avrep.assemble import build_objective, open_catalog, use_threads
from avrep.augment.video_config import VideoAugmentConfig
from avrep.config import RunConfig
from avrep.dense_clips import video_augments
from avrep.evaluation.action.catalog import open_splits, task_items
from avrep.evaluation.action.data import ActionTask
from avrep.evaluation.action.measure import Tell, said
from avrep.evaluation.action.results import Scored, results_over_splits, split_result
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.embed import Progress
from avrep.evaluation.task_result import EncoderFacts, TaskResult
from avrep.evaluation.tasks import TaskItems
from avrep.models.features import Encoder
from avrep.models.weights_digest import weights_digest
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.recognition.attentive import attentive_probe
from avrep.recognition.attentive_recipe import AttentiveRecipe
from avrep.recognition.data import TaskVideos, data_facts, labelled_rows
from avrep.recognition.finetune import finetune
from avrep.recognition.recipe import FinetuneRecipe
from avrep.trained import load_encoder, read_run_config
from avrep.training import parallel

CONFIDENCE = 0.95
"""Of the intervals."""

_Recipe = TypeVar("_Recipe", bound=FinetuneRecipe | AttentiveRecipe)


def measure_trained_on_labels(
    config: RunConfig,
    run_dir: Path,
    task: TaskItems,
    recipe: FinetuneRecipe | AttentiveRecipe,
    *,
    trained: bool = True,
    label: str = "class",
    out: Path | None = None,
    open_stream: OpenStream = plain_stream,
    progress: Progress | None = None,
) -> TaskResult:
    """Fine-tune a run's encoder, or train an attentive probe on it, and test once.

    The recipe's clips and sizes are taken as they are; pixels are normalised as in pretraining.

    Args:
        config: the run's own.
        run_dir: the run's folder.
        task: what trains and what tests.
        recipe: which of the two, and how.
        trained: with the newest checkpoint's weights; otherwise as the run began, for comparison.
        label: which of the task's label sets.
        out: where checkpoints are written; None: in the run's `evaluation` folder, by task, recipe
            and whether trained.
        open_stream: the plain stream, or Ray's.
        progress: told how far it is.

    Raises:
        ConfigError: the run has no video encoder, the task no such labels, or see `finetune` and
            `attentive_probe`.
    """
    use_threads(config)
    folder = "-".join([task.name, recipe.name, *(() if trained else ("untrained",))])
    return measure_encoder(
        load_encoder(run_dir, trained=trained),
        str(run_dir) if trained else f"untrained:{run_dir}",
        TaskVideos.of_run(config.data, open_catalog(config.data), task, label),
        as_in_pretraining(recipe, config),
        out or run_dir / "evaluation" / folder,
        seed=config.seed,
        device=parallel.pick_device(config.train.device),
        open_stream=open_stream,
        progress=progress,
    )


def measure_encoder(
    encoder: Encoder,
    name: str,
    data: TaskVideos,
    recipe: FinetuneRecipe | AttentiveRecipe,
    out: Path,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    open_stream: OpenStream = plain_stream,
    progress: Progress | None = None,
) -> TaskResult:
    """Fine-tune any video encoder, or train an attentive probe on it, and test once.

    Args:
        encoder: with the weights to begin with; fine-tuning changes them.
        name: as the result names it.
        data: the task and where its videos are.
        recipe: which of the two, and how; its pixels' mean and deviation are to be the encoder's.
        out: where checkpoints are written.
        seed: of all draws.
        device: where to train; None: the CPU.
        open_stream: the plain stream, or Ray's.
        progress: told how far it is.

    Raises:
        ConfigError, StepNotFinite, FailureBudgetExceeded: see `finetune` and `attentive_probe`.
    """
    facts = encoder_facts(encoder, name, recipe.augment)
    scored = _scored(encoder, data, recipe, out, seed, device, open_stream, progress)
    return split_result(data.task.task, facts, scored, confidence=CONFIDENCE, seed=seed)


def measure_action_on_labels(
    run_dir: Path,
    root: Path | str,
    task: ActionTask,
    work: Path,
    recipe: FinetuneRecipe | AttentiveRecipe,
    *,
    trained: bool = True,
    folds: Sequence[int] | None = None,
    group_scope: GroupScope = "class",
    allow_missing: bool = False,
    seed: int = 0,
    open_stream: OpenStream = plain_stream,
    tell: Tell | None = None,
) -> tuple[TaskResult, ...]:
    """The same of a run's encoder on the splits of a data set, each begun from the same weights.

    Args:
        run_dir: the run's folder.
        root: the data set's folder.
        task: which data set, see `read_action_data`.
        work: a folder for the catalogue and for each split's checkpoints.
        recipe: which of the two, and how.
        trained: with the newest checkpoint's weights; otherwise as the run began.
        folds: which splits, from 1; all of them if None.
        group_scope: see `read_action_data`.
        allow_missing: leave out videos that are not there or cannot be opened; every result tells.
        seed: of all draws.
        open_stream: the plain stream, or Ray's.
        tell: told how far it is.

    Returns:
        A result for each split and, of several, one of their mean.

    Raises:
        ConfigError: see `open_splits`, `measure_trained_on_labels`.
    """
    config = read_run_config(run_dir)
    use_threads(config)
    recipe = as_in_pretraining(recipe, config)
    catalog, splits = open_splits(
        root,
        task,
        work,
        folds,
        group_scope=group_scope,
        allow_missing=allow_missing,
        progress=said(tell, "indexing"),
    )
    name = str(run_dir) if trained else f"untrained:{run_dir}"
    facts = encoder_facts(load_encoder(run_dir, trained=trained), name, recipe.augment)
    # Whatever is trained otherwise has a folder of its own.
    decides = f"{facts.digest} {seed} {recipe.model_dump_json()}"
    study = f"{recipe.name}-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"
    found = [
        _scored(
            load_encoder(run_dir, trained=trained),
            TaskVideos.of_run(config.data, catalog, task_items(data, catalog)),
            recipe,
            work / f"{study}-split{data.fold}",
            seed,
            parallel.pick_device(config.train.device),
            open_stream,
            said(tell, f"{recipe.name}, split {data.fold}"),
        )
        for data in splits
    ]
    found = [
        replace(scored, notes=(*scored.notes, *data.notes))
        for scored, data in zip(found, splits, strict=True)
    ]
    return results_over_splits(task, facts, found, confidence=CONFIDENCE, seed=seed)


def _scored(
    encoder: Encoder,
    data: TaskVideos,
    recipe: FinetuneRecipe | AttentiveRecipe,
    out: Path,
    seed: int,
    device: torch.device | None,
    open_stream: OpenStream,
    progress: Progress | None,
) -> Scored:
    """What the classifier scores on the test videos."""
    train = (
        partial(finetune, encoder, data, recipe, out)
        if isinstance(recipe, FinetuneRecipe)
        else partial(attentive_probe, encoder, data, recipe, out)
    )
    predictions = train(seed=seed, device=device, open_stream=open_stream, progress=progress)
    rows = labelled_rows(
        data.task, data.label, validation_fraction=recipe.held_out_fraction, seed=seed
    )
    scores = predictions.scores()
    failed = [score.note for score in scores[:1] if score.note]
    return Scored(
        protocol=predictions.protocol,
        draws=(scores,),
        data=data_facts(data, rows),
        settings={
            "label": predictions.label,
            "recipe": recipe.name,
            "recipe_digest": recipe_digest(recipe),
            **predictions.settings,
        },
        notes=(*failed, *predictions.notes),
    )


def recipe_digest(recipe: FinetuneRecipe | AttentiveRecipe) -> str:
    """Sixteen hexadecimal digits of all that a recipe decides.

    Left out are the values of pixels, which are the encoder's, and what is said of the recipe.
    """
    decides = recipe.model_dump_json(exclude={"differs": True, "augment": {"mean", "std"}})
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def as_in_pretraining(recipe: _Recipe, config: RunConfig) -> _Recipe:
    """The recipe with the pixel values that the run's encoder was trained on."""
    view = video_augments(build_objective(config))[0]
    augment = recipe.augment.model_copy(update={"mean": view.mean, "std": view.std})
    return recipe.model_copy(update={"augment": augment})


def encoder_facts(encoder: Encoder, name: str, pixels: VideoAugmentConfig) -> EncoderFacts:
    """Which encoder is measured, before it is trained on; what it computes is in the digest."""
    digest = hashlib.sha256(weights_digest(encoder).encode())
    digest.update(f"{pixels.mean} {pixels.std}".encode())
    return EncoderFacts(name=name, digest=digest.hexdigest(), num_parameters=encoder.num_parameters)
