"""Proves that `path label` lists read as written, and that faulty ones are refused."""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.path_lists import read_list_split


def test_lists_of_path_and_label(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"/d/my clip 1.mp4 0\r\n\r\n/d/b.mp4 2\r\n")
    (tmp_path / "test.csv").write_bytes(b"/d/c.mp4 1 \n")
    split = read_list_split(tmp_path / "train.csv", tmp_path / "test.csv")
    assert [(v.path, v.label) for v in split.train] == [("/d/my clip 1.mp4", 0), ("/d/b.mp4", 2)]
    assert [(v.path, v.label) for v in split.test] == [("/d/c.mp4", 1)]
    assert split.class_names == ("0", "1", "2")
    names = ["x", "y", "z", "never seen"]
    named = read_list_split(tmp_path / "train.csv", tmp_path / "test.csv", class_names=names)
    assert named.class_names == tuple(names)
    with pytest.raises(ConfigError, match="label 2, but 2 classes"):
        read_list_split(tmp_path / "train.csv", tmp_path / "test.csv", class_names=names[:2])


def test_another_separator(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a b.mp4::1\n")
    (tmp_path / "test.csv").write_text("c.mp4::0\n")
    split = read_list_split(tmp_path / "train.csv", tmp_path / "test.csv", separator="::")
    assert (split.train[0].path, split.train[0].label) == ("a b.mp4", 1)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("a.mp4 0\nb.mp4\n", "c.mp4 1\n", "train.csv:2: want"),
        ("a.mp4 x\n", "c.mp4 1\n", "train.csv:1: want"),
        ("a.mp4 -1\n", "c.mp4 1\n", "train.csv:1: want"),
        ("a.mp4 0\n", "\n", "test.csv lists no videos"),
        ("a.mp4 0\n", "b.mp4 1\na.mp4 0\n", "1 videos are listed twice: a.mp4"),
        ("v_a_g01_c01.mp4 0\n", "v_a_g01_c02.mp4 0\n", "1 groups are in both lists: 0/g01"),
    ],
)
def test_faulty_lists_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    (tmp_path / "train.csv").write_text(train)
    (tmp_path / "test.csv").write_text(test)
    with pytest.raises(ConfigError, match=message):
        read_list_split(tmp_path / "train.csv", tmp_path / "test.csv")
