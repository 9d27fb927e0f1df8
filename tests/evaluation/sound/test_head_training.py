"""Proves the training of heads on an encoder made by hand, of whose layers one alone tells.

Truth: which layer tells is known; a training that was stopped is compared bit for bit with one that
was not, and an accumulated step with one on the whole batch.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep.errors import ConfigError
from avrep.evaluation.sound.batch_plan import shuffled_plan
from avrep.evaluation.sound.head import Head, HeadRecipe
from avrep.evaluation.sound.head_training import Probe, TrainedProbe, predict, train_probe
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.states import Crop, cut_start
from avrep.evaluation.sound.upstream import HiddenStates, joined
from avrep.evaluation.sound.utterance import Told, Utterance, UtteranceHead
from avrep.models.seeded import seeded

_LAYERS, _WIDTH, _TELLING = 4, 6, 2
_RECIPE = HeadRecipe(lr=0.05, batch_size=8, num_steps=16, eval_every=4)
_CLASSES = (("a", "b"),)


@cache
def _states(recording: Recording) -> Tensor:
    """float[l n d] of noise; the layer that tells has the label's sign in it."""
    draws = torch.Generator().manual_seed(zlib.crc32(recording.key.encode()))
    num_frames = 3 + int(recording.key.split("-")[1]) % 5
    states = torch.randn(_LAYERS, num_frames, _WIDTH, generator=draws)
    states[_TELLING, :, 0] += 1.5 if recording.key.startswith("a") else -1.5
    return states


def _read(recordings: Sequence[Recording], crop: Crop | None = None) -> HiddenStates:
    each = [_states(recording) for recording in recordings]
    if crop is not None:
        starts = [
            cut_start(s.shape[1], 2, place) for s, place in zip(each, crop.places, strict=True)
        ]
        each = [s[:, start : start + 2] for s, start in zip(each, starts, strict=True)]
    states = joined(each)
    # Past a sound's own frames may be anything.
    for row, own in enumerate(states.num_frames.tolist()):
        states.states[:, row, own:] = 1000.0
    return states


def _examples(first: int, num: int) -> tuple[Utterance, ...]:
    return tuple(
        Utterance(
            recording=Recording(key=f"{'ab'[number % 2]}-{number}", path=Path("none")),
            labels=("ab"[number % 2],),
        )
        for number in range(first, first + num)
    )


_DATA = SoundData(
    name="toy", train=_examples(0, 64), valid=_examples(100, 40), test=_examples(200, 60)
)


class _WithDropout(UtteranceHead):
    def forward(self, features: Tensor, num_frames: Tensor) -> tuple[Tensor, ...]:
        return super().forward(functional.dropout(features, 0.3, self.training), num_frames)


def _accuracy(examples: Sequence[Utterance], predictions: Sequence[Told]) -> float:
    pairs = zip(examples, predictions, strict=True)
    return sum(example.labels == told for example, told in pairs) / len(examples)


def _probe(head: type[UtteranceHead] = UtteranceHead) -> Probe[Utterance, Told]:
    with seeded(0, "test head"):
        return Probe(_LAYERS, head(_WIDTH, _CLASSES))


def _train(
    folder: Path,
    recipe: HeadRecipe = _RECIPE,
    *,
    probe: Probe[Utterance, Told] | None = None,
    select: Callable[[Sequence[Utterance], Sequence[Told]], float] = _accuracy,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedProbe[Utterance, Told]:
    return train_probe(
        probe or _probe(),
        _DATA,
        recipe,
        read_states=_read,
        plan=shuffled_plan(len(_DATA.train), recipe.batch_size, 0),
        select=select,
        seed=0,
        folder=folder,
        progress=progress,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedProbe[Utterance, Told]:
    """A training to its end."""
    return _train(tmp_path_factory.mktemp("trained"), _RECIPE.model_copy(update={"num_steps": 48}))


def test_the_sum_finds_the_layer_that_tells(trained: TrainedProbe[Utterance, Told]) -> None:
    weights = trained.probe.weighted_sum.weights
    assert int(weights.argmax()) == _TELLING
    assert weights[_TELLING] > 0.5
    found = predict(trained.probe, _DATA.test, _read, 16)
    assert _accuracy(_DATA.test, found) >= 0.95


def test_predictions_do_not_depend_on_the_batch(trained: TrainedProbe[Utterance, Told]) -> None:
    told: list[tuple[int, int]] = []
    together = predict(trained.probe, _DATA.test, _read, 60)
    alone = predict(trained.probe, _DATA.test, _read, 7, lambda *done: told.append(done))
    assert alone == together
    assert told[-1] == (60, 60)


def test_weights_begin_equal() -> None:
    assert _probe().weighted_sum.weights.tolist() == [0.25] * _LAYERS
    states = torch.randn(_LAYERS, 2, 3, _WIDTH)
    torch.testing.assert_close(_probe().weighted_sum(states), states.mean(dim=0))
    with pytest.raises(ValueError, match="wants 4 states, got 3"):
        _probe().weighted_sum(states[:3])


class _Stop(Exception):
    pass


def test_a_stopped_training_comes_to_the_same_bits(tmp_path: Path) -> None:
    recipe = _RECIPE.model_copy(
        update={"num_accumulated": 2, "crop_samples": 1, "optimizer": "adamw"}
    )

    def stop(done: int, in_all: int) -> None:
        assert in_all == 16
        if done == 11:
            raise _Stop

    whole = _train(tmp_path / "whole", recipe, probe=_probe(_WithDropout))
    with pytest.raises(_Stop):
        _train(tmp_path / "stopped", recipe, probe=_probe(_WithDropout), progress=stop)
    # What the caller drew in between must not matter.
    torch.manual_seed(5)
    resumed = _train(tmp_path / "stopped", recipe, probe=_probe(_WithDropout))
    assert (resumed.step, resumed.selection) == (whole.step, whole.selection)
    for name, value in whole.probe.state_dict().items():
        assert torch.equal(resumed.probe.state_dict()[name], value), name
    file = "head.safetensors"
    assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_what_is_trained_is_read_not_trained_again(tmp_path: Path) -> None:
    first = _train(tmp_path)

    def nothing(done: int, in_all: int) -> None:
        raise AssertionError(f"step {done} of {in_all} was taken again")

    again = _train(tmp_path, progress=nothing)
    assert (again.step, again.selection) == (first.step, first.selection)
    for name, value in first.probe.state_dict().items():
        assert torch.equal(again.probe.state_dict()[name], value)


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    _train(tmp_path)
    with pytest.raises(ConfigError, match=r"head\.safetensors is of another recipe"):
        _train(tmp_path, _RECIPE.model_copy(update={"lr": 0.1}))


def test_the_best_look_is_kept(tmp_path: Path) -> None:
    told: Iterator[float] = iter([float("nan"), 0.9, 0.3, float("nan")])
    best = _train(tmp_path / "all", select=lambda *_: next(told))
    assert (best.step, best.selection) == (8, 0.9)
    rising = iter([0.1, 0.2])
    shorter = _RECIPE.model_copy(update={"num_steps": 8})
    until_then = _train(tmp_path / "half", shorter, select=lambda *_: next(rising))
    assert until_then.step == 8
    for name, value in until_then.probe.state_dict().items():
        assert torch.equal(best.probe.state_dict()[name], value), name


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    """Two of 8 against one of 16: the plan's batches of an epoch are parts of one order."""
    large = _RECIPE.model_copy(update={"batch_size": 16, "num_steps": 4, "eval_every": 4})
    small = large.model_copy(update={"batch_size": 8, "num_accumulated": 2})
    one, other = _train(tmp_path / "large", large), _train(tmp_path / "small", small)
    for name, value in one.probe.state_dict().items():
        torch.testing.assert_close(other.probe.state_dict()[name], value)


class _OneNumber(Head[Utterance, Told]):
    """Its gradient is what it is told, whatever it is fed."""

    def __init__(self, gradients: Sequence[float]) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(()))
        self._gradients = iter(gradients)

    def loss(self, features: Tensor, num_frames: Tensor, examples: Sequence[Utterance]) -> Tensor:
        del num_frames, examples
        return self.number * next(self._gradients) + 0 * features.sum()

    def predict(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[Utterance]
    ) -> list[Told]:
        del features, num_frames
        return [("a",) for _ in examples]


def test_gradients_that_are_not_finite_are_passed_over(tmp_path: Path) -> None:
    recipe = _of_steps(3)
    head = _OneNumber([1.0, float("nan"), 1.0])
    _train(tmp_path, recipe, probe=Probe(_LAYERS, head))
    # Adam's first steps are as long as the rate, whatever the gradient.
    assert head.number.item() == pytest.approx(-2 * recipe.lr, rel=1e-3)


def test_long_gradients_are_cut_to_the_recipe_s_length(tmp_path: Path) -> None:
    """Adam forgets lengths but not their ratio: 1 then 100 cut to 1 is a step as 1 then 1 is."""
    one, other = _OneNumber([1.0, 1.0]), _OneNumber([1.0, 100.0])
    _train(tmp_path / "one", _of_steps(2), probe=Probe(_LAYERS, one))
    _train(tmp_path / "other", _of_steps(2), probe=Probe(_LAYERS, other))
    assert other.number.item() == pytest.approx(one.number.item(), rel=1e-4)


def _of_steps(num: int) -> HeadRecipe:
    return _RECIPE.model_copy(update={"num_steps": num, "eval_every": num})


def test_the_data_s_digest_is_of_what_is_in_it_not_of_where_it_lies() -> None:
    moved = tuple(
        replace(each, recording=replace(each.recording, path=Path("/elsewhere/none")))
        for each in _DATA.train
    )
    assert replace(_DATA, train=moved).facts == _DATA.facts
    other = (replace(_DATA.train[0], labels=("b",)), *_DATA.train[1:])
    assert replace(_DATA, train=other).facts.digest != _DATA.facts.digest
