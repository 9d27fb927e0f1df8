"""Proves that a step taken in micro-batches is the step taken at once, for every objective that says
so, and what becomes of those that compare items.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.objectives.cvrl import Cvrl
from avrep.objectives.joint import Joint
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.objectives.videomae import Videomae
from avrep.objectives.wav2vec2 import Wav2vec2
from avrep.training.loop import TrainConfig
from avrep.training.micro_batches import micro_batches
from avrep.training.prepare import prepare
from avrep.training.step import StepResult, take_step
from avrep.types import Address
from benchmarks.random_batch import random_batch
from tests.objectives.still import make_still
from tests.objectives.test_contract import TOYS

_COMPARES = (Cvrl, SegmentAvclip)
_NUM_CLIPS = 6


def _objective(kind: type[Objective], *, diversity: bool = False) -> Objective:
    objective = make_still(TOYS[kind](0))
    if isinstance(objective, Wav2vec2) and not diversity:
        objective.config = objective.config.model_copy(update={"diversity_weight": 0.0})
    return objective


def _batch(objective: Objective) -> BatchTensors:
    """Sounds are of unequal length, so that micro-batches have unequally many terms."""
    batch = random_batch(objective, _NUM_CLIPS)
    views = tuple(
        replace(view, num_samples=torch.tensor([8000, 6400, 7000, 8000, 6500, 7900]))
        if view.audio is not None and view.video is None
        else view
        for view in batch.views
    )
    return replace(batch, views=views)


def _step(objective: Objective, num: int) -> tuple[StepResult, dict[str, Tensor]]:
    """Of plain descent with rate 1, so that the weights' change is the gradient."""
    trained = [p for p in objective.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    result = take_step(
        objective,
        torch.optim.SGD(trained, lr=1.0),
        _batch(objective),
        lr=1.0,
        precision="fp32",
        seed=0,
        num_micro_batches=num,
    )
    names = [name for name, p in objective.named_parameters() if p.requires_grad]
    changes = [old - new.detach() for old, new in zip(before, trained, strict=True)]
    objective.after_step(4, 10)
    return result, dict(zip(names, changes, strict=True))


@pytest.mark.parametrize("kind", [kind for kind in TOYS if kind not in _COMPARES])
def test_the_update_is_that_of_the_whole_batch(kind: type[Objective]) -> None:
    one, parted = _objective(kind), _objective(kind)
    (whole, gradient), (result, same) = _step(one, 1), _step(parted, 3)
    assert result.loss == pytest.approx(whole.loss, rel=1e-5)
    assert result.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)
    for name, expected in gradient.items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            same[name], expected, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name
        )
    # Queues and teachers too.
    for name, value in one.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", _COMPARES)
def test_objectives_that_compare_items_would_lose_some_and_are_refused(
    kind: type[Objective],
) -> None:
    whole, _ = _step(_objective(kind), 1)
    parted, _ = _step(_objective(kind), 3)
    # Chance is a choice between fewer.
    assert parted.loss < whole.loss - 0.1
    with pytest.raises(ConfigError, match="num_micro_batches is 3, but this objective tells each"):
        prepare(_objective(kind), _config(num_micro_batches=3), torch.device("cpu"))


def test_a_joint_objective_compares_items_if_a_part_does() -> None:
    masked, contrast = _objective(Wav2vec2), _objective(Cvrl)
    assert not Joint({"a": masked}, [1.0]).compares_items
    assert Joint({"a": masked}, [1.0], {"b": Joint({"c": contrast}, [1.0])}).compares_items


def test_diversity_is_of_each_micro_batch() -> None:
    whole, _ = _step(_objective(Wav2vec2, diversity=True), 1)
    parted, _ = _step(_objective(Wav2vec2, diversity=True), 3)
    assert parted.metrics["contrastive_loss"] == pytest.approx(whole.metrics["contrastive_loss"])
    assert parted.metrics["diversity_loss"] > whole.metrics["diversity_loss"]


def test_a_joint_objective_and_its_further_corpora_are_parted_alike() -> None:
    def build() -> Joint:
        return Joint(
            {"a": _objective(Videomae)}, [1.0], {"b": Joint({"c": _objective(Wav2vec2)}, [0.5])}
        )

    def gradient(num: int) -> list[Tensor]:
        joint = build()
        other = _batch(joint.corpora()["b"])
        batch = replace(_batch(_objective(Videomae)), others={"b": other})
        for part in micro_batches(batch, num):
            (joint(part, torch.Generator()).loss / num).backward()
        return [p.grad for p in joint.parameters() if p.grad is not None]

    for whole, parted in zip(gradient(1), gradient(2), strict=True):
        torch.testing.assert_close(parted, whole, rtol=1e-3, atol=1e-5)


def test_rows_keep_their_addresses_and_know_the_whole() -> None:
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(4, 0),
        audio=torch.arange(4.0)[:, None],
        num_samples=torch.arange(4),
        rate_hz=16000,
    )
    addresses = tuple(Address(0, item) for item in range(4))
    batch = BatchTensors(step=7, views=(view, view), addresses=addresses)
    assert micro_batches(batch, 1) == (batch,)
    first, second = micro_batches(batch, 2)
    assert (first.addresses, second.addresses) == (addresses[:2], addresses[2:])
    assert (first.rows, second.rows) == (slice(0, 2), slice(2, 4))
    assert second.whole is batch
    assert (second.step, second.num_micro_batches) == (7, 2)
    audio, num_samples = second.views[1].audio, second.views[1].num_samples
    assert audio is not None
    assert num_samples is not None
    assert (audio[:, 0].tolist(), num_samples.tolist()) == ([2, 3], [2, 3])
    chosen = second.with_views(1, 2)
    assert (len(chosen.views), len(chosen.whole.views)) == (1, 1)
    with pytest.raises(
        ConfigError, match=r"is 3, but each trainer has 4 items of a step; choose a"
    ):
        micro_batches(batch, 3)


def _config(**train: object) -> TrainConfig:
    return TrainConfig.model_validate({"batch_size": 6, "num_steps": 1, **train})


def test_a_batch_that_does_not_divide_is_refused_at_once() -> None:
    with pytest.raises(
        ValueError, match="must be a multiple of num_workers times num_micro_batches, 4"
    ):
        _config(num_micro_batches=2, num_workers=2)
