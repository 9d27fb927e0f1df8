"""The attentive probe: a frozen encoder's tokens, one learned query, a linear layer.

OUT/
    checkpoints/                the probes, their optimizer and the step
    tokens/                     where tokens are stored; see `token_store`
    validation.safetensors      what every probe said of the held-out train videos
    test.safetensors            what they said of the test videos; only the chosen one's is looked at

Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from Video" (V-JEPA),
arXiv 2404.08471.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.evaluation.action.predictions import ActionPredictions
from avrep.evaluation.embed import Progress
from avrep.models.features import Encoder
from avrep.models.weights_digest import weights_digest
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.recognition.attentive_recipe import AttentiveRecipe
from avrep.recognition.data import (
    LabelledRows,
    TaskVideos,
    labelled_rows,
    read_digest,
    training_plan,
)
from avrep.recognition.judging import SCORE, TOP1, labels_of, validation_score, videos_table
from avrep.recognition.probe_heads import ProbeHeads, build_head_optimizer, step_heads
from avrep.recognition.row_scores import Progressed, RowScores, num_batches, score_rows
from avrep.recognition.token_store import StoredTokens, make_token_store
from avrep.recognition.tokens import Frozen, StreamedTokens, TokenFeed, rows_digest
from avrep.recognition.training_folder import Begun, TrainingFolder
from avrep.recognition.views import crops_of, even_clips
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.types import RowNumbers

_Told = Callable[[int], None]


def attentive_probe(
    encoder: Encoder,
    data: TaskVideos,
    recipe: AttentiveRecipe,
    out: Path,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    open_stream: OpenStream = plain_stream,
    checkpoint_every_steps: int | None = None,
    progress: Progress | None = None,
) -> ActionPredictions:
    """Train attentive probes on a frozen encoder, choose one on held-out train videos, and test it.

    A call with the same arguments goes on where one was killed; one that had finished tells the same
    again. What is chosen and tested is a probe after the last step.

    Args:
        encoder: put into evaluation mode, and left as it is otherwise.
        data: the task and where its videos are.
        recipe: what to do.
        out: this probe's folder, and no other's.
        seed: of the probes' first weights, the order, the clips, and which videos are held out.
        device: where to compute; None: the CPU.
        open_stream: the plain stream, or Ray's.
        checkpoint_every_steps: beside those at the end of each epoch.
        progress: told how many of all batches are done: those of storing, training and asking.

    Raises:
        ConfigError: the folder holds another training; tokens do not fit `store_bytes`; fewer videos
            than a batch has; or see `labelled_rows`.
        FailureBudgetExceeded: a video and all its substitutes cannot be decoded.
    """
    rows = labelled_rows(
        data.task, data.label, validation_fraction=recipe.validation_fraction, seed=seed
    )
    device = device or torch.device("cpu")
    frozen = Frozen(encoder=encoder.to(device).eval(), device=device, precision=recipe.precision)
    steps_per_epoch = training_plan(rows, recipe.batch_size, 1, seed).steps_per_epoch
    num_stored = num_batches(rows.fit, recipe.views.batch_size) if recipe.store_bytes else 0
    num_train = recipe.num_epochs * steps_per_epoch
    num_asked = [num_batches(part, recipe.views.batch_size) for part in (rows.valid, rows.test)]
    total = num_stored + num_train + sum(num_asked)

    def told_from(first: int) -> _Told:
        return lambda done: progress(first + done, total) if progress else None

    feed = _feed(frozen, data, recipe, rows, seed, out, open_stream, told_from(0))
    heads = ProbeHeads(recipe, encoder.width, len(rows.class_names), seed).to(device)
    folder = TrainingFolder(
        path=out,
        decides={
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "label": data.label,
            "classes": list(rows.class_names),
            "encoder": weights_digest(encoder),
        },
        data_digest=read_digest(data, rows, feed.plan),
    )
    trained = train_heads(
        heads,
        feed,
        rows,
        recipe,
        folder,
        device=device,
        checkpoint_every_steps=checkpoint_every_steps,
        told=told_from(num_stored),
    )
    asking = _Asking(
        frozen=frozen, heads=heads.eval(), data=data, recipe=recipe, open_stream=open_stream
    )
    done = num_stored + num_train
    chosen, validation = 0, dict[str, float]()
    if len(rows.valid):
        said = asking.ask(rows.valid, out / "validation.safetensors", told_from(done))
        chosen, validation = best_head(said, rows)
        trained.add(trained.step, said.failures)
    said = asking.ask(rows.test, out / "test.safetensors", told_from(done + num_asked[0]))
    said = replace(said, scores=np.ascontiguousarray(said.scores[:, chosen]))
    return ActionPredictions(
        protocol="attentive",
        label=data.label,
        class_names=rows.class_names,
        videos=videos_table(data, said),
        train_labels=data.train_labels(),
        num_valid=len(rows.valid),
        failures=said.failures,
        settings={
            **_settings(recipe, chosen),
            "seed": seed,
            "validation_groups": rows.num_valid_groups,
            **({TOP1: validation[TOP1]} if validation else {}),
        },
        notes=(
            *rows.notes(recipe.held_out_fraction, "the first of the rates"),
            *trained.notes(),
            *_left_out(rows, feed),
            *recipe.differs,
        ),
    )


def train_heads(
    heads: ProbeHeads,
    feed: TokenFeed,
    rows: LabelledRows,
    recipe: AttentiveRecipe,
    folder: TrainingFolder,
    *,
    device: torch.device,
    checkpoint_every_steps: int | None = None,
    told: _Told | None = None,
) -> Begun:
    """Take all steps that are not taken yet; a checkpoint ends each epoch.

    Args:
        heads: with their first weights, on the device.
        feed: the tokens of each step.
        rows: their labels.
        recipe: rates, epochs.
        folder: of the checkpoints.
        device: of the heads.
        checkpoint_every_steps: further ones.
        told: told how many steps are done.

    Raises:
        ConfigError: the folder holds another training.
    """
    optimizer = build_head_optimizer(heads, recipe.rates)
    num_steps = recipe.num_epochs * feed.plan.steps_per_epoch
    done = folder.resume(heads, optimizer)
    if done.step == num_steps:
        return done
    heads.train()
    with (
        CheckpointWriter(folder.store, keep_last=1) as writer,
        feed.open(range(done.step, num_steps)) as batches,
    ):
        for batch in batches:
            labels = torch.tensor([rows.label_of[row] for row in batch.rows], device=device)
            step_heads(
                heads,
                optimizer,
                batch.tokens,
                labels,
                step=batch.step,
                total_steps=num_steps,
                max_grad_norm=recipe.max_grad_norm,
                precision=recipe.precision,
            )
            done.add(batch.step + 1, batch.failures)
            is_due = checkpoint_every_steps and done.step % checkpoint_every_steps == 0
            if is_due or done.step % feed.plan.steps_per_epoch == 0:
                writer.save(folder.state(done), heads, optimizer)
            if told:
                told(done.step)
    return done


def best_head(said: RowScores, rows: LabelledRows) -> tuple[int, dict[str, float]]:
    """The head that does best on the videos it was asked about, of equals the first, and its score."""
    labels = labels_of(said, rows)
    scores = [
        validation_score(said.scores[:, head], labels) for head in range(said.scores.shape[1])
    ]
    chosen = max(range(len(scores)), key=lambda head: (scores[head][SCORE], -head))
    return chosen, scores[chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """A frozen encoder and its probes, and how videos are shown to them."""

    frozen: Frozen
    heads: ProbeHeads
    data: TaskVideos
    recipe: AttentiveRecipe
    open_stream: OpenStream

    def ask(self, rows: RowNumbers, kept: Path, told: _Told) -> RowScores:
        """float32[n heads classes]: every head's probabilities, by all clips and crops."""
        recipe = self.recipe
        crops = crops_of(recipe.views, recipe.augment)
        digest = hashlib.sha256(weights_digest(self.frozen.encoder).encode())
        digest.update(weights_digest(self.heads).encode())
        digest.update(recipe.model_dump_json().encode())
        digest.update(self.data.catalog.digest.encode() + rows_digest(rows))
        return score_rows(
            self.data,
            rows,
            even_clips(recipe.clip, recipe.views.num_clips, crops.short_side_px),
            crops,
            self._probabilities,
            batch_size=recipe.views.batch_size,
            device=self.frozen.device,
            open_stream=self.open_stream,
            kept=Progressed(path=kept, digest=digest.hexdigest()),
            on_batch=told,
        )

    def _probabilities(self, views: Iterator[Tensor]) -> Tensor:
        """float32[b heads classes]: the mean over crops, and over clips that are not attended together."""
        # [b crops n d] of each clip.
        tokens = (
            self.frozen.tokens(view.flatten(0, 1)).unflatten(0, view.shape[:2]) for view in views
        )
        seen = [torch.cat(list(tokens), dim=2)] if self.recipe.attend_across_clips else tokens
        said = [
            self.heads.probabilities(each.flatten(0, 1), self.recipe.precision)
            .unflatten(0, each.shape[:2])
            .mean(dim=1)
            for each in seen
        ]
        return torch.stack(said).mean(dim=0)


def _feed(
    frozen: Frozen,
    data: TaskVideos,
    recipe: AttentiveRecipe,
    rows: LabelledRows,
    seed: int,
    out: Path,
    open_stream: OpenStream,
    told: _Told,
) -> TokenFeed:
    if not recipe.store_bytes:
        plan = training_plan(rows, recipe.batch_size, 1, seed)
        return StreamedTokens(
            frozen=frozen, data=data, recipe=recipe, plan=plan, open_stream=open_stream
        )
    store = make_token_store(
        out / "tokens", frozen, data, recipe, rows.fit, open_stream=open_stream, on_part=told
    )
    # Of those that could be decoded.
    plan = training_plan(replace(rows, fit=store.rows), recipe.batch_size, 1, seed)
    return StoredTokens(store=store, recipe=recipe, plan=plan, device=frozen.device)


def _left_out(rows: LabelledRows, feed: TokenFeed) -> tuple[str, ...]:
    num = len(rows.fit) - len(feed.plan.rows)
    return (f"{num} train videos could not be decoded and were left out",) if num else ()


def _settings(recipe: AttentiveRecipe, chosen: int) -> dict[str, str | int | float | bool]:
    """What of a recipe decides the numbers most, and the rates that were chosen."""
    return {
        "recipe": recipe.name,
        "epochs": recipe.num_epochs,
        "batch_size": recipe.batch_size,
        "lr": recipe.rates[chosen].lr,
        "weight_decay": recipe.rates[chosen].weight_decay,
        "probes_tried": len(recipe.rates),
        "frames": recipe.clip.num_frames,
        "stride": recipe.clip.stride,
        "crop_px": recipe.augment.crop_px,
        "clips": recipe.views.num_clips,
        "crops": recipe.views.num_crops,
        "attend_across_clips": recipe.attend_across_clips,
        "tokens_stored": recipe.store_bytes > 0,
    }
