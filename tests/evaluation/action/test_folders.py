"""Proves that class folders give alphabetical labels and a split that depends on nothing but keys
and seed, keeps groups whole and tests every class; and that `path label` lists read as written.
"""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.evaluation.action.folders import read_list_split, split_class_folders


def plain_keys(sizes: dict[str, int]) -> list[str]:
    return [f"videos/{name}/{n:03d}.mp4" for name, size in sizes.items() for n in range(size)]


def test_shares_and_labels_without_groups() -> None:
    split = split_class_folders(plain_keys({"walk": 40, "fall": 20, "sit": 8}), seed=3)
    assert split.class_names == ("fall", "sit", "walk")
    per_class = Counter(split.class_names[video.label] for video in split.test)
    assert per_class == {"walk": 10, "fall": 5, "sit": 2}
    for video in (*split.train, *split.test):
        assert split.class_names[video.label] == video.path.split("/")[1]
    everything = sorted(video.path for video in (*split.train, *split.test))
    assert everything == sorted(plain_keys({"walk": 40, "fall": 20, "sit": 8}))


def test_the_split_is_a_function_of_keys_and_seed() -> None:
    keys = plain_keys({"a": 30, "b": 30})
    split = split_class_folders(keys, seed=1)
    assert split_class_folders(keys[::-1], seed=1) == split
    assert split_class_folders(keys, seed=2) != split


@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=12, max_size=60),
    seed=st.integers(0, 9),
)
def test_groups_stay_whole_across_classes(rows: list[tuple[str, int]], seed: int) -> None:
    # Two groups of each class at least, so that a split exists.
    rows = [*rows, *((name, group) for name in "abc" for group in (11, 12, 13))]
    keys = [f"{name}/v_{name}_g{group:02d}_c{n:02d}.avi" for n, (name, group) in enumerate(rows)]
    split = split_class_folders(keys, seed=seed, group_scope="corpus")
    assert split.straddling_groups() == ()
    assert {v.group for v in split.train}.isdisjoint({v.group for v in split.test})
    assert {v.label for v in split.train} == {v.label for v in split.test} == {0, 1, 2}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["a/1.avi", "a/2.avi", "b/1.avi"], "1 classes cannot have videos on both sides.*: b"),
        (
            ["a/v_a_g01_c01.avi", "a/v_a_g01_c02.avi", "b/v_b_g01_c01.avi", "b/v_b_g02_c01.avi"],
            "1 classes cannot.*: a",
        ),
        (["a/1.avi", "a/2.avi"], "at least 2 class folders, found 1"),
        (["a/1.avi", "2.avi"], "1 videos are in no class folder: 2.avi"),
        (["a/1.avi", "a/1.avi", "b/1.avi"], "1 keys occur twice"),
    ],
)
def test_what_cannot_be_split_is_refused(keys: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_class_folders(keys, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_bad_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="test_fraction"):
        split_class_folders(["a/1.avi", "b/1.avi"], seed=0, test_fraction=fraction)


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
