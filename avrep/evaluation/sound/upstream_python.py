"""`python:package.module:name`: anything that turns one sound into features, as Python sees it."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.evaluation.python_object import python_object
from avrep.evaluation.sound.upstream import HiddenStates, Upstream, encoder_digest, joined
from avrep.evaluation.task_result import EncoderFacts

_SECOND = 16_000
_MIN_SAMPLES = 400


class PythonUpstream(Upstream):
    """A callable that gives float[n d], or float[l n d] with a state for each layer, of one sound.

    It is given float32[s], mono at 16 kHz in [-1, 1], on the CPU, one sound at a time, under
    `torch.no_grad()`. How many states, how wide and how often is found out with a second of noise. Of
    its own accord it may have `frame_samples` and `min_samples` (400 if it has none).

    Args:
        function: a callable; a torch module is put in evaluation mode.
        name: as it was asked for.

    Raises:
        ConfigError: what it gives of a second of noise has another form.
    """

    def __init__(self, function: Callable[..., object], name: str) -> None:
        self._function = function.eval() if isinstance(function, nn.Module) else function
        self.facts = EncoderFacts(
            name=name, digest=_digest(function), num_parameters=_size(function)
        )
        self.min_samples = int(getattr(function, "min_samples", _MIN_SAMPLES))
        noise = 0.1 * torch.randn(_SECOND, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            states = self._states(noise)
        self.num_states, num_frames, self.width = states.shape
        self.frame_samples = int(getattr(function, "frame_samples", round(_SECOND / num_frames)))

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        return joined([self._states(wave) for wave in waves])

    def _states(self, wave: Tensor) -> Tensor:
        given: Any = self._function(wave)
        if not isinstance(given, Tensor) or given.ndim not in (2, 3) or 0 in given.shape:
            form = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ConfigError(
                f"{self.facts.name} must give float[n d] or float[l n d] of float32[{len(wave)}], "
                f"got {form}"
            )
        # A copy: what comes from inference mode takes no part in gradients.
        states = given.detach().clone().float().to(self.device)
        return states if states.ndim == 3 else states[None]


def python_upstream(path: str, name: str) -> Upstream:
    """Import what `package.module:name` names: an `Upstream`, a callable, or a class of either.

    Raises:
        ConfigError: there is no such thing, or it is neither.
    """
    found = python_object(path)
    if inspect.isclass(found):
        found = found()
    if isinstance(found, Upstream):
        return found
    if not callable(found):
        raise ConfigError(f"{name} is a {type(found).__name__}; want a callable")
    return PythonUpstream(found, name)


def _digest(function: Any) -> str:
    """Of its weights and its source file: the most that can be known of it."""
    file = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
    source = Path(file).read_bytes() if file else b""
    name = str(getattr(function, "__qualname__", type(function).__qualname__))
    if isinstance(function, nn.Module):
        return encoder_digest(function, name, source)
    return hashlib.sha256(name.encode() + source).hexdigest()[:16]


def _size(function: Any) -> int:
    if not isinstance(function, nn.Module):
        return 0
    return sum(parameter.numel() for parameter in function.parameters())
