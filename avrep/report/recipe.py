"""A contact sheet of exactly what a model sees: a few items, sampled, decoded and augmented."""

from pathlib import Path

import torch

from avrep.assemble import build_objective, training_source
from avrep.config import RunConfig
from avrep.pipeline.batches import read_batch
from avrep.report.batch_sheet import batch_rows
from avrep.report.contact_sheet import draw_contact_sheet
from avrep.training.inputs import to_inputs


def draw_recipe(config: RunConfig, out: Path, *, num_items: int = 4, step: int = 0) -> None:
    """Write a PNG of the first items of a step, every view of each, as the encoder is given them.

    Args:
        config: a run's config.
        out: the PNG.
        num_items: how many items.
        step: which step of the run.
    """
    objective = build_objective(config)
    source = training_source(config, objective)
    batch = read_batch(source, step)
    inputs = to_inputs(batch, objective, config.seed, torch.device("cpu"))
    rows = range(min(num_items, len(batch.addresses)))
    draw_contact_sheet(batch_rows(batch, inputs, objective, source, rows), out)
