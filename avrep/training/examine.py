"""One step under the lens: which weights, layers, gradients and clips a bad loss comes from."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from avrep import rng
from avrep.models.mixed_precision import Precision, mixed_precision
from avrep.objectives.base import BatchTensors, LossOut, Objective, ViewTensors
from avrep.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedClip:
    """What one item had to do with the step."""

    corpus: str
    row: int
    """In its corpus's batch."""
    address: Address
    loss_alone: float | None
    """The loss of this item by itself, in evaluation mode: what other items do to it (batch norm,
    negatives) is left out. None where the objective makes none of one item."""
    grad_norm: float | None
    """Length of the step's gradient at this item's clips, which says how much the loss hangs on it.
    None where none reaches them."""

    @property
    def is_suspect(self) -> bool:
        """Whether this item alone makes a loss that is not finite."""
        return self.loss_alone is not None and not math.isfinite(self.loss_alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is not finite in a step, and what each item had to do with it."""

    weights: tuple[str, ...]
    """Parameters and buffers that were not finite before the step."""
    largest_weight: tuple[str, float]
    """The parameter with the largest of the finite weights, and its size: far beyond 1 where training
    had run away before the step."""
    layers: tuple[str, ...]
    """Modules whose output was not finite, in the order in which they ran."""
    gradients: tuple[str, ...]
    """Parameters whose gradient was not finite."""
    backward: str | None
    """What autograd's anomaly detection says; None where it found nothing."""
    clips: tuple[ExaminedClip, ...]
    """Of all corpora: those under suspicion first, then by the gradient, largest first."""


def examine_step(
    objective: Objective, inputs: BatchTensors, *, seed: int, precision: Precision, main_corpus: str
) -> Examination:
    """Take a step apart; the objective stays as it is.

    Args:
        objective: as it was before the step, on the inputs' device.
        inputs: the whole step's, augmented.
        seed: the run's seed.
        precision: the run's.
        main_corpus: name of the corpus that the batch's own clips are of.
    """
    look = _Look(objective, seed, precision)
    leaves = {name: _with_leaves(part) for name, part in _corpora(inputs, main_corpus).items()}
    first = leaves[main_corpus][0]
    others = {name: tensors for name, (tensors, _) in leaves.items() if name != main_corpus}
    trained = look.copy(training=True)
    with _broken_layers(trained) as layers:
        loss = look.loss(trained, replace(first, others=others))
    loss.backward()
    found = [n for n, p in trained.named_parameters() if p.grad is not None and _broken(p.grad)]
    clips = [
        ExaminedClip(
            corpus=name,
            row=row,
            address=address,
            loss_alone=look.loss_alone(inputs, name, row, main_corpus),
            grad_norm=_grad_norm(leaves[name][1], row),
        )
        for name, part in _corpora(inputs, main_corpus).items()
        for row, address in enumerate(part.addresses)
    ]
    is_bad = bool(layers or found or _broken(loss))
    return Examination(
        weights=tuple(name for name, value in objective.state_dict().items() if _broken(value)),
        largest_weight=_largest_weight(objective),
        layers=tuple(layers),
        gradients=tuple(found),
        backward=look.anomaly(inputs) if is_bad else None,
        clips=tuple(sorted(clips, key=_suspicion)),
    )


class _Look:
    """Runs an objective as a step of one rank does, on copies that nothing is kept of."""

    def __init__(self, objective: Objective, seed: int, precision: Precision) -> None:
        self._objective = objective
        self._seed = seed
        self._precision: Precision = precision
        self._alone = self.copy(training=False)

    def copy(self, *, training: bool) -> Objective:
        return copy.deepcopy(self._objective).train(training)

    def loss(self, objective: Objective, inputs: BatchTensors) -> Tensor:
        device = next(objective.parameters()).device
        generator = torch.Generator(device)
        generator.manual_seed(rng.device_seed(self._seed, rng.Stage.OBJECTIVE, inputs.step, 0))
        with mixed_precision(device, self._precision):
            out: LossOut = objective(inputs, generator)
        return out.loss

    def loss_alone(
        self, inputs: BatchTensors, corpus: str, row: int, main_corpus: str
    ) -> float | None:
        if corpus == main_corpus and inputs.others:
            # The objective of the first corpus adds the loss of the others.
            return None
        part = self._alone if corpus == main_corpus else self._alone.corpora()[corpus]
        one = _one_row(_corpora(inputs, main_corpus)[corpus], row)
        try:
            with torch.no_grad():
                return float(self.loss(part, one))
        except (RuntimeError, ValueError, IndexError):
            # An objective that needs several items says so in its own words.
            return None

    def anomaly(self, inputs: BatchTensors) -> str | None:
        """The first function of the backward pass that gives what is not a number."""
        with warnings.catch_warnings(), torch.autograd.set_detect_anomaly(True):
            # The trace of the forward pass, which the layers' names stand for here.
            warnings.simplefilter("ignore")
            try:
                self.loss(self.copy(training=True), inputs).backward()
            except RuntimeError as error:
                return str(error).splitlines()[0]
        return None


@contextmanager
def _broken_layers(module: nn.Module) -> Iterator[list[str]]:
    """Names of modules whose output is not finite, as they run while the context lasts."""
    found: list[str] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            if name not in found and any(_broken(tensor) for tensor in _tensors(output)):
                found.append(name)

        return hook

    handles = [
        part.register_forward_hook(note(name)) for name, part in module.named_modules() if name
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _corpora(inputs: BatchTensors, main_corpus: str) -> dict[str, BatchTensors]:
    return {main_corpus: replace(inputs, others={}), **inputs.others}


def _with_leaves(inputs: BatchTensors) -> tuple[BatchTensors, list[Tensor]]:
    """The same inputs, and the tensors at which the gradient of the clips arrives."""
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        leaves.append(tensor.detach().clone().requires_grad_())
        # What is changed in place must be no leaf.
        return leaves[-1] * 1

    views = tuple(
        replace(view, video=leaf(view.video), audio=leaf(view.audio)) for view in inputs.views
    )
    return replace(inputs, views=views), leaves


def _one_row(inputs: BatchTensors, row: int) -> BatchTensors:
    def sliced(view: ViewTensors) -> ViewTensors:
        named = ((field.name, getattr(view, field.name)) for field in fields(view))
        return replace(
            view,
            **{n: value[row : row + 1] for n, value in named if isinstance(value, Tensor)},
        )

    views = tuple(sliced(view) for view in inputs.views)
    return replace(inputs, views=views, addresses=inputs.addresses[row : row + 1])


def _grad_norm(leaves: list[Tensor], row: int) -> float | None:
    squares = [leaf.grad[row].double().square().sum() for leaf in leaves if leaf.grad is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else None


def _largest_weight(module: nn.Module) -> tuple[str, float]:
    sizes = {
        name: float(torch.nan_to_num(weights.detach(), 0.0, 0.0, 0.0).abs().max())
        for name, weights in module.named_parameters()
        if weights.numel()
    }
    name = max(sizes, key=lambda each: sizes[each])
    return name, sizes[name]


def _suspicion(clip: ExaminedClip) -> tuple[bool, float]:
    norm = clip.grad_norm or 0.0
    return not clip.is_suspect, -norm if math.isfinite(norm) else -math.inf


def _broken(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors in what a module gave."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
