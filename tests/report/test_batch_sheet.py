"""Proves that a batch's contact sheet has the sound that the model is given, or says that it hears none."""

from collections.abc import Callable

import numpy as np
import torch

from avrep.assemble import build_objective
from avrep.config import RunConfig
from avrep.media.catalog import Catalog
from avrep.objectives.base import Objective
from avrep.pipeline.batches import read_batch
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.report.batch_sheet import batch_rows
from avrep.report.contact_sheet import SheetRow
from avrep.training.inputs import to_inputs
from avrep.types import Batch
from tests.objectives import sync_toys


def _shown(catalog: Catalog, objective: Objective) -> tuple[Batch, list[SheetRow]]:
    """A batch of items that all have pictures and sound, and its rows."""
    rows = catalog.rows_with(video=True, audio=True)
    plan = Plan(seed=0, rows=rows, global_batch=2)
    source = StreamSource(catalog=catalog, plan=plan, specs=tuple(objective.view_specs()))
    batch = read_batch(source, 0)
    inputs = to_inputs(batch, objective, 0, torch.device("cpu"))
    return batch, batch_rows(batch, inputs, objective, source, range(2))


def test_sound_beneath_the_frames_of_a_method_that_hears_nothing_is_said_to_be_that(
    synth_catalog: Catalog, tiny_config: Callable[..., RunConfig]
) -> None:
    _, rows = _shown(synth_catalog, build_objective(tiny_config()))
    views = [view for row in rows for view in row.views]
    assert all(view.frames is not None for view in views)
    assert len(views) == 4
    assert all(view.audio is not None and not view.is_heard for view in views)


def test_a_method_that_hears_has_its_own_sound_on_its_sheet(synth_catalog: Catalog) -> None:
    batch, rows = _shown(synth_catalog, sync_toys.segment_avclip())
    given = batch.views[0]
    assert given.audio is not None
    assert given.audio_start_s is not None
    for number, row in enumerate(rows):
        (view,) = row.views
        assert view.audio is not None
        assert view.is_heard
        np.testing.assert_array_equal(view.audio, given.audio[number])
        assert (view.audio_start_s, view.rate_hz) == (given.audio_start_s[number], given.rate_hz)
