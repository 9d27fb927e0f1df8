"""Tensors that lie in host memory, say that they are elsewhere, and are not to be mixed with others.

The same code runs on a GPU, where a tensor that was left on the host, or a generator of the other
device, ends a step. torch lets Python be a device ("PrivateUse1"), with autograd, optimizers and
autocast as for any other. What CUDA lets pass is let pass here: single numbers of the host among
elementwise operations, and the host's indices.

`WAITS` counts, by operation and line, what would have the host wait for a GPU: numbers that are read,
copies that are not asked for with `non_blocking`, shapes that depend on values.
"""

import traceback
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

import avrep
from tests.second_device.gpu_autocast import cast_as_on_gpus

_NAME = "second"
_AVREP = Path(avrep.__file__).parent
_Generator, _tensor, _as_tensor = torch.Generator, torch.tensor, torch.as_tensor
WAITS: Counter[str] = Counter()

_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_")
_SHAPED_BY_VALUES = (
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::bincount",
    "aten::repeat_interleave",
    "aten::equal",
)


def second_device() -> torch.device:
    """The device; to be called in a process of its own, which it changes for good."""
    if torch._C._get_privateuse1_backend_name() != _NAME:
        _setup_privateuseone_for_python_backend(_NAME, backend_module=_Module())
        cast_as_on_gpus(_NAME)
        # Made below torch's Python, where a Python device cannot follow.
        torch.__dict__.update(Generator=_SecondGenerator, tensor=_made, as_tensor=_taken)
    return torch.device(_NAME, 0)


class SecondDevice(TorchDispatchMode):
    """Within it tensors can be made on the device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(_is_there(leaf) for leaf in _leaves(args, kwargs)):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


class SecondTensor(torch.Tensor):
    """Says that it is on the device; `held` is the same on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "SecondTensor":
        with torch.inference_mode(False):
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                layout=held.layout,
                device=torch.device(_NAME, 0),
            )
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"SecondTensor({self.held!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, *data: Any, **options: Any) -> Any:
        device = options.pop("device", None) or self.device
        return _tensor(*data, **({"dtype": self.dtype} | options)).to(device)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _SecondGenerator(_Generator):
    """Remembers that it was asked for on the device: by the time it is used, torch has forgotten."""

    living: ClassVar["weakref.WeakSet[_SecondGenerator]"] = weakref.WeakSet()

    def __new__(cls, device: Any = "cpu") -> "_SecondGenerator":
        del device
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._device = torch.device(device)
        if self._device.type == _NAME:
            self.living.add(self)

    @classmethod
    def is_there(cls, generator: torch.Generator) -> bool:
        state = generator.get_state()
        return any(torch.equal(state, other.get_state()) for other in list(cls.living))


# A property in place of torch's own, which cannot be set.
type.__setattr__(_SecondGenerator, "device", property(lambda generator: generator._device))


def _made(data: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> torch.Tensor:
    made = _tensor(data, dtype=dtype, **options)
    return made if device is None else made.to(device)


def _taken(data: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
    taken = _as_tensor(data, dtype=dtype)
    return taken if device is None else taken.to(device)


def _is_there(leaf: object) -> bool:
    match leaf:
        case SecondTensor():
            return True
        case torch.device():
            return leaf.type == _NAME
        case _Generator():
            return _SecondGenerator.is_there(leaf)
        case _:
            return False


def _leaves(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterator[Any]:
    """Arguments, and what is in lists of them: an operation of torch has no deeper ones."""
    for arg in chain(args, kwargs.values()):
        if isinstance(arg, list | tuple):
            yield from arg
        else:
            yield arg


def _held(arg: Any) -> Any:
    if isinstance(arg, SecondTensor):
        return arg.held
    return [_held(each) for each in arg] if isinstance(arg, list | tuple) else arg


def _there(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return SecondTensor(found)
    return type(found)(map(_there, found)) if isinstance(found, list | tuple) else found


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do it on the CPU, once it is seen that a GPU would have done it."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    ):
        # In inference mode torch does not take these apart by itself.
        with SecondDevice():
            return func.decompose(*args, **kwargs)
    name = func._schema.name
    leaves = list(_leaves(args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, SecondTensor)]
    here = [
        leaf
        for leaf in leaves
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, SecondTensor)
    ]
    device = kwargs.get("device")
    made_there = bool(there) if device is None else torch.device(device).type == _NAME
    _count_waits(name, args, kwargs, there, here)
    if there and here and name not in ("aten::copy_", "aten::_to_copy"):
        numbers = torch.Tag.pointwise in func.tags and all(other.dim() == 0 for other in here)
        indices = name in _INDEXING and isinstance(args[0], SecondTensor)
        if not (numbers or indices):
            shapes = [tuple(other.shape) for other in here]
            raise RuntimeError(f"{name}: tensors on {_NAME}, but also on the CPU: {shapes}")
    for generator in (leaf for leaf in leaves if isinstance(leaf, _Generator)):
        if _SecondGenerator.is_there(generator) != made_there:
            raise RuntimeError(f"{name}: the generator is on the other device")
    held = {name: _held(value) for name, value in kwargs.items()}
    if device is not None:
        held["device"] = torch.device("cpu")
    found = func(*map(_held, args), **held)
    if name == "aten::copy_":
        return args[0]
    if not made_there or name == "aten::_local_scalar_dense":
        return found
    return return_and_correct_aliasing(func, args, kwargs, _there(found))


def _count_waits(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], there: list[Any], here: list[Any]
) -> None:
    match name:
        case "aten::_to_copy":
            is_down = bool(there) and torch.device(kwargs.get("device") or _NAME).type == "cpu"
            waits = is_down or (bool(here) and not kwargs.get("non_blocking"))
        case "aten::copy_":
            waits = bool(there) and bool(here) and not (args[2:] and args[2])
        case "aten::_local_scalar_dense":
            waits = bool(there)
        case _ if name in _INDEXING:
            chosen = [index for index in args[1] if index is not None]
            waits = any(
                index.dtype == torch.bool or not isinstance(index, SecondTensor) for index in chosen
            )
        case _:
            waits = bool(there) and name in _SHAPED_BY_VALUES
    if waits:
        WAITS[f"{name} in {_line()}"] += 1


def _line() -> str:
    """The innermost of avrep's own lines."""
    own = [
        f"{Path(frame.filename).relative_to(_AVREP)}:{frame.name}"
        for frame in traceback.extract_stack()
        if Path(frame.filename).is_relative_to(_AVREP)
    ]
    return own[-1] if own else "torch"
