"""Proves that a step taken in micro-batches is the step taken at once, for every objective that says
so, and what becomes of those that compare items.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from avrep.cluster.even_ranks import num_even_ranks
from avrep.errors import ConfigError
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.objectives.cvrl import Cvrl
from avrep.objectives.joint import Joint
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.objectives.videomae import Videomae
from avrep.objectives.wav2vec2 import Wav2vec2
from avrep.training.loop import TrainConfig
from avrep.training.micro_batches import micro_batches, num_parts
from avrep.training.prepare import prepare
from avrep.training.step import StepResult, take_step
from avrep.types import Address
from benchmarks.random_batch import random_batch
from tests.objectives.still import make_still
from tests.objectives.test_contract import TOYS
from tests.small_runs import two_corpora

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


def test_a_step_of_twelve_among_fewer_trainers_by_hand() -> None:
    """Set up for four trainers with three micro-batches each: of one item."""

    def parts(num_ranks: int) -> int:
        return num_parts([12 // num_ranks], num_ranks, num_workers=4, num_micro_batches=3)

    assert {num_ranks: parts(num_ranks) for num_ranks in (4, 3, 2, 1)} == {4: 3, 3: 4, 2: 6, 1: 12}
    # 48 among four in two parts: of six. Three have 16 each, of which parts of six do not make up.
    assert num_parts([16], 3, num_workers=4, num_micro_batches=2) == 4


@given(
    num_workers=st.integers(1, 16),
    num_micro_batches=st.integers(1, 6),
    multiples=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    data=st.data(),
)
def test_no_part_is_larger_than_with_all_trainers_whoever_is_there(
    num_workers: int, num_micro_batches: int, multiples: list[int], data: st.DataObject
) -> None:
    allowed = num_workers * num_micro_batches
    batches = [allowed * multiple for multiple in multiples]
    # Visits divide among all trainers, which is what a run with all of them wants.
    draws = [
        data.draw(st.sampled_from([n for n in range(1, 9) if batch % (n * num_workers) == 0]))
        for batch in batches
    ]
    num_given = data.draw(st.integers(1, num_workers))
    visits = [batch // count for batch, count in zip(batches, draws, strict=True)]
    ranks = num_even_ranks(visits, num_given)
    rows = [batch // ranks for batch in batches]
    found = num_parts(rows, ranks, num_workers=num_workers, num_micro_batches=num_micro_batches)
    if num_micro_batches == 1:
        assert found == 1
        return

    def fits(number: int) -> bool:
        return all(
            count % number == 0 and count // number <= batch // allowed
            for count, batch in zip(rows, batches, strict=True)
        )

    assert fits(found)
    assert not any(fits(number) for number in range(1, found))
    assert found == num_micro_batches or ranks < num_workers


def test_a_further_corpus_that_does_not_divide_is_refused_at_once() -> None:
    with pytest.raises(
        ConfigError,
        match=r"corpora\.more\.batch_size is 6; it must be a multiple of .*_micro_batches, 4",
    ):
        two_corpora({}, {"batch_size": 8, "num_workers": 2, "num_micro_batches": 2})


def _config(**train: object) -> TrainConfig:
    return TrainConfig.model_validate({"batch_size": 6, "num_steps": 1, **train})


def test_a_batch_that_does_not_divide_is_refused_at_once() -> None:
    with pytest.raises(
        ValueError, match="must be a multiple of num_workers times num_micro_batches, 4"
    ):
        _config(num_micro_batches=2, num_workers=2)
