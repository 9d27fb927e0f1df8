"""Pieces that ranks write make up the tensors, whoever reads them; a header that lies is refused."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from avrep.training.pieces import Piece, PieceFiles, own_pieces, share_out, write_pieces

TENSORS = {
    "a": torch.arange(12.0).reshape(4, 3),
    "b": torch.arange(5, dtype=torch.int64),
    "c": torch.tensor(3, dtype=torch.int64),
    "d": torch.zeros(0, 2),
    "e": torch.randn(7, generator=torch.Generator().manual_seed(0)).bfloat16(),
    "f": torch.tensor([True, False]),
}


def test_what_ranks_write_is_read_by_one(tmp_path: Path) -> None:
    paths: list[Path] = []
    for rank in range(3):
        pieces = own_pieces(TENSORS, {"b", "c"}, rank, 3)
        assert ({"b", "c"} <= pieces.keys()) is (rank == 0)
        paths.append(tmp_path / f"{rank}.safetensors")
        write_pieces(paths[-1], pieces)
    with PieceFiles(paths) as files:
        assert files.names() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            found = files.read(name)
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor), name


@given(
    sizes=st.dictionaries(st.text(max_size=4), st.integers(0, 1000), max_size=20),
    num_ranks=st.integers(1, 9),
)
def test_each_tensor_has_one_writer_and_none_writes_much_more(
    sizes: dict[str, int], num_ranks: int
) -> None:
    writers = share_out(sizes, num_ranks)
    assert writers.keys() == sizes.keys()
    loads = [sum(sizes[name] for name in sizes if writers[name] == r) for r in range(num_ranks)]
    assert sum(loads) == sum(sizes.values())
    assert max(loads) - min(loads) <= max(sizes.values(), default=0)
    assert share_out(dict(reversed(sizes.items())), num_ranks) == writers


def test_regions_are_put_together(tmp_path: Path) -> None:
    whole = TENSORS["a"]
    parts = {"0": (whole[:1], (0, 0)), "1": (whole[1:, :2], (1, 0)), "2": (whole[1:, 2:], (1, 2))}
    paths = [
        _written(tmp_path / name, data, (4, 3), first) for name, (data, first) in parts.items()
    ]
    with PieceFiles(paths) as files:
        assert torch.equal(files.read("a"), whole)
    with pytest.raises(ValueError, match="the pieces of a do not make it up"):
        PieceFiles(paths[:2])
    with pytest.raises(ValueError, match="the pieces of a do not make it up"):
        PieceFiles([*paths, paths[0]])
    # As many elements as there should be, but twice the same.
    twice = [_written(tmp_path / f"twice{n}", whole[:2], (4, 3), (0, 0)) for n in range(2)]
    with pytest.raises(ValueError, match="the pieces of a do not make it up"):
        PieceFiles(twice)
    crossing = [
        _written(tmp_path / "x0", whole[:, :2], (4, 3), (0, 0)),
        _written(tmp_path / "x1", whole[:2, 1:], (4, 3), (2, 1)),
    ]
    with pytest.raises(ValueError, match="the pieces of a do not make it up"):
        PieceFiles(crossing)


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{",
        "[" * 100_000,
        '{"a": 3}',
        '{"a": {"whole": [4, 3]}}',
        '{"a": {"whole": [4, 3], "first": [0, -1]}}',
        '{"a": {"whole": [4, 3], "first": [0, 0.5]}}',
        '{"a": {"whole": [4, 3], "first": [0]}}',
        '{"a": {"whole": [3, 4], "first": [0, 0]}}',
        '{"a": {"whole": [4, 3], "first": [1, 0]}}',
        '{"a": {"whole": [1000000000, 1000000000], "first": [0, 0]}}',
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: str) -> None:
    save_file({"a": TENSORS["a"]}, tmp_path / "a", metadata={"pieces": header})
    with pytest.raises(ValueError, match="pieces"):
        PieceFiles([tmp_path / "a"])


def test_a_whole_tensor_has_no_header_of_ours(tmp_path: Path) -> None:
    write_pieces(tmp_path / "a", {"a": Piece(TENSORS["a"], (4, 3), (0, 0))})
    length = int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    header = json.loads((tmp_path / "a").read_bytes()[8 : 8 + length])
    assert header.keys() == {"a"}


def _written(path: Path, data: Tensor, whole: tuple[int, ...], first: tuple[int, ...]) -> Path:
    write_pieces(path, {"a": Piece(data.contiguous(), whole, first)})
    return path
