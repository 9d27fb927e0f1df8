"""Proves of every objective that several ranks train as one: the loss, the measures and every
parameter's gradient under DDP are those of one process on the joined batch, and so are queues, teachers
and batch norm's averages. Two and four gloo ranks on the CPU; batch norm trains.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.training import parallel
from avrep.training.micro_batches import micro_batches
from benchmarks.random_batch import random_batch
from tests.gloo_ranks import results_of_ranks
from tests.objectives.still import make_still
from tests.objectives.test_contract import TOYS

pytestmark = pytest.mark.slow

_NUM_CLIPS = 8


def _batch(objective: Objective, rank: int, num_ranks: int) -> BatchTensors:
    """A rank's rows; sounds are of unequal length, so that ranks have unequally many terms."""
    batch = random_batch(objective, _NUM_CLIPS)
    lengths = torch.tensor([8000, 6400, 7000, 8000, 6500, 7900, 7300, 6400])
    views = tuple(
        replace(view, num_samples=lengths)
        if view.audio is not None and view.video is None
        else view
        for view in batch.views
    )
    own = micro_batches(replace(batch, views=views), num_ranks)[rank]
    return replace(own, share=None, first_row=0)


def _result(kind: type[Objective], rank: int, num_ranks: int) -> dict[str, Any]:
    objective = make_still(TOYS[kind](0), norms=False)
    objective.after_step(4, 10)
    module = parallel.wrap(objective, torch.device("cpu"))
    assert isinstance(module, DistributedDataParallel) == (num_ranks > 1)
    out: LossOut = module(_batch(objective, rank, num_ranks), torch.Generator())
    out.loss.backward()
    gradients = {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}
    objective.after_step(5, 10)
    buffers = {name: value.clone() for name, value in objective.named_buffers()}
    return {
        "loss": out.loss.detach(),
        "metrics": dict(out.metrics),
        "gradients": gradients,
        "buffers": buffers,
    }


def _of_rank(rank: int, num_ranks: int) -> dict[str, Any]:
    return {kind.__name__: _result(kind, rank, num_ranks) for kind in TOYS}


@pytest.fixture(scope="module", params=[2, 4])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    return results_of_ranks(_of_rank, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("kind", TOYS, ids=[kind.__name__ for kind in TOYS])
def test_ranks_train_as_one(ranks: list[dict[str, Any]], kind: type[Objective]) -> None:
    whole = _result(kind, 0, 1)
    results = [result[kind.__name__] for result in ranks]
    losses = torch.stack([result["loss"] for result in results])
    assert len(set(losses.tolist())) > 1
    torch.testing.assert_close(losses.mean(), whole["loss"], rtol=1e-4, atol=1e-6)
    for metric, value in whole["metrics"].items():
        mean = torch.stack([result["metrics"][metric].float() for result in results]).mean()
        torch.testing.assert_close(mean, value.float(), rtol=1e-4, atol=1e-5, msg=metric)
    for result in results:
        assert result["gradients"].keys() == whole["gradients"].keys()
        for name, gradient in whole["gradients"].items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(
                result["gradients"][name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-8, msg=name
            )
        for name, value in whole["buffers"].items():
            torch.testing.assert_close(
                result["buffers"][name], value, rtol=1e-4, atol=1e-5, msg=name
            )
