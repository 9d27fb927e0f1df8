"""Named tensors cut into the pieces that ranks write, and put together for any number of ranks.

A file is safetensors, so nothing in it is ever run. Where it holds a region of a tensor and not the
whole, its header says which: under `pieces`, {name: {"whole": shape, "first": offsets}} as JSON.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A region of a tensor."""

    data: Tensor
    whole: Shape
    """Of the tensor that it is a region of."""
    first: Shape
    """Where the region begins in it."""

    @property
    def is_whole(self) -> bool:
        return tuple(self.data.shape) == self.whole


def own_pieces(
    tensors: Mapping[str, Tensor], of_first_rank: Set[str], rank: int, num_ranks: int
) -> dict[str, Piece]:
    """What one rank writes of tensors that all ranks name alike.

    Of a sharded tensor (`DTensor`) it is the rank's own shard. Other tensors are alike on all ranks,
    and each is one rank's, so that the bytes are about the same for all.

    Args:
        tensors: by name.
        of_first_rank: names of those that may differ between ranks; the first rank's are meant.
        rank: whose part.
        num_ranks: that share the work.
    """
    alike = {
        name: tensor.nbytes
        for name, tensor in tensors.items()
        if name not in of_first_rank and not isinstance(tensor, DTensor)
    }
    writers = share_out(alike, num_ranks)
    pieces: dict[str, Piece] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            local = tensor.to_local()
            if local.numel() and not _is_replica(tensor):
                _, first = _region(tensor)
                pieces[name] = Piece(local, tuple(tensor.shape), first)
        elif writers.get(name, 0) == rank:
            pieces[name] = Piece(tensor, tuple(tensor.shape), (0,) * tensor.ndim)
    return pieces


def share_out(sizes: Mapping[str, int], num_ranks: int) -> dict[str, int]:
    """A rank for each name, the largest first to whoever has least; the same on every rank."""
    loads = [0] * num_ranks
    writers: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        rank = loads.index(min(loads))
        writers[name] = rank
        loads[rank] += sizes[name]
    return writers


def write_pieces(path: Path, pieces: Mapping[str, Piece]) -> None:
    """Write one file of pieces, whose data is on the CPU and contiguous.

    Raises:
        SafetensorError: it cannot be written.
    """
    regions = {
        name: {"whole": piece.whole, "first": piece.first}
        for name, piece in pieces.items()
        if not piece.is_whole
    }
    notes = {"pieces": json.dumps(regions)} if regions else None
    save_file({name: piece.data for name, piece in pieces.items()}, path, metadata=notes)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A piece in an open file."""

    file: Any
    shape: Shape
    whole: Shape
    first: Shape


class PieceFiles:
    """Files of pieces, open for reading; a context manager.

    Args:
        paths: all files that the tensors were written to.

    Raises:
        SafetensorError: one of them is no safetensors file.
        ValueError: the pieces of a tensor do not make up the tensor.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        self._stored: dict[str, list[_Stored]] = {}
        for path in paths:
            file = self._stack.enter_context(safe_open(path, framework="pt"))
            regions = _regions(file.metadata() or {})
            for name in list(file.keys()):
                shape = tuple(file.get_slice(name).get_shape())
                whole, first = regions.get(name, (shape, (0,) * len(shape)))
                self._stored.setdefault(name, []).append(_Stored(file, shape, whole, first))
        for name, stored in self._stored.items():
            _check_complete(name, stored)

    def names(self) -> Set[str]:
        return self._stored.keys()

    def read(self, name: str) -> Tensor:
        """A whole tensor, on the CPU; it may be memory of the file until it is copied."""
        stored = self._stored[name]
        if len(stored) == 1:
            return stored[0].file.get_tensor(name)
        whole = stored[0].whole
        return self._read_region(name, whole, (0,) * len(whole))

    def read_like(self, name: str, target: Tensor) -> Tensor:
        """A tensor, sharded as another one is: of a `DTensor`, this rank's shard is all that is read.

        Raises:
            RuntimeError: they have not the same shape, where the other is a `DTensor`.
        """
        if not isinstance(target, DTensor):
            return self.read(name)
        whole = self._stored[name][0].whole
        if whole != tuple(target.shape):
            raise RuntimeError(f"{name} is {list(whole)}, here {list(target.shape)}")
        local = self._read_region(name, *_region(target), like=target)
        return DTensor.from_local(
            local.to(target.device),
            target.device_mesh,
            target.placements,
            run_check=False,
            shape=target.shape,
            stride=target.stride(),
        )

    def _read_region(
        self, name: str, shape: Shape, first: Shape, like: Tensor | None = None
    ) -> Tensor:
        region = None if like is None else torch.zeros(shape, dtype=like.dtype)
        for stored in self._stored[name]:
            begin = tuple(map(max, first, stored.first))
            ends = zip(first, shape, stored.first, stored.shape, strict=True)
            end = tuple(min(a + n, b + m) for a, n, b, m in ends)
            if any(b >= e for b, e in zip(begin, end, strict=True)):
                continue
            data = stored.file.get_slice(name)[_slices(begin, end, stored.first)]
            region = data.new_zeros(shape) if region is None else region
            region[_slices(begin, end, first)] = data
        # Only a tensor of no elements has none.
        return self._stored[name][0].file.get_tensor(name) if region is None else region

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def _is_replica(tensor: DTensor) -> bool:
    """Whether a rank that comes before this one has the same shard."""
    coordinate = tensor.device_mesh.get_coordinate() or ()
    return any(
        place > 0 and placement.is_replicate()
        for place, placement in zip(coordinate, tensor.placements, strict=True)
    )


def _region(tensor: DTensor) -> tuple[Shape, Shape]:
    """Shape and offsets of this rank's shard."""
    return compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )


def _slices(begin: Shape, end: Shape, first: Shape) -> tuple[slice, ...]:
    return tuple(slice(b - f, e - f) for b, e, f in zip(begin, end, first, strict=True))


def _regions(notes: Mapping[str, str]) -> dict[str, tuple[Shape, Shape]]:
    """Whole shape and offsets of each region that a file's header tells of."""
    try:
        told = json.loads(notes.get("pieces", "{}"))
        return {
            name: (_shape(region["whole"]), _shape(region["first"]))
            for name, region in told.items()
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError("its header does not say what its pieces are") from error


def _shape(values: object) -> Shape:
    if not isinstance(values, list) or not all(type(n) is int and n >= 0 for n in values):
        raise TypeError("not a shape")
    return tuple(values)


def _check_complete(name: str, stored: Sequence[_Stored]) -> None:
    whole = stored[0].whole
    fits = all(
        piece.whole == whole
        and len(piece.shape) == len(piece.first) == len(whole)
        and all(f + n <= w for f, n, w in zip(piece.first, piece.shape, whole, strict=True))
        for piece in stored
    )
    num_elements = sum(math.prod(piece.shape) for piece in stored)
    if not fits or num_elements != math.prod(whole) or _overlap(stored):
        raise ValueError(f"the pieces of {name} do not make it up")


def _overlap(stored: Sequence[_Stored]) -> bool:
    """Whether an element is in two pieces, all of which are of a tensor with as many dimensions."""
    if len(stored) < 2 or not stored[0].whole:
        return len(stored) > 1
    # In the order of the first dimension: shards along it meet at most their neighbour.
    pieces = sorted(stored, key=lambda piece: piece.first)
    for place, piece in enumerate(pieces):
        for other in pieces[place + 1 :]:
            if other.first[0] >= piece.first[0] + piece.shape[0]:
                break
            if all(a < b + m and b < a + n for a, n, b, m in _sides(piece, other)):
                return True
    return False


def _sides(one: _Stored, other: _Stored) -> Iterator[tuple[int, int, int, int]]:
    """Of each dimension, beginning and length of both."""
    return zip(one.first, one.shape, other.first, other.shape, strict=True)
