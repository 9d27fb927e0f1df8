"""Proves that a split's videos find their catalogue rows: blind to case and to leading folders,
never two ways at once, and with everything that is missing named.
"""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.evaluation.action.split import ActionSplit, LabelledVideo, match_keys


def split_of(train: list[str], test: list[str]) -> ActionSplit:
    def videos(paths: list[str]) -> tuple[LabelledVideo, ...]:
        return tuple(LabelledVideo(path=path, label=0, group=None) for path in paths)

    return ActionSplit(class_names=("A",), train=videos(train), test=videos(test))


@pytest.mark.parametrize("folder", ["", "videos/", "data/UCF-101/"])
def test_keys_may_have_leading_folders_and_another_case(folder: str) -> None:
    split = split_of(["Sit/a.avi", "HandstandPushups/v_HandStandPushups.avi"], ["Sit/b.avi"])
    keys = [f"{folder}{name}" for name in ("Sit/b.avi", "handstandpushups/V_HandstandPushups.AVI")]
    train, test = match_keys(split, [*keys, f"{folder}Sit/c.avi", f"{folder}sit/A.avi"])
    assert train.tolist() == [3, 1]
    assert test.tolist() == [0]


def test_paths_may_have_leading_folders() -> None:
    split = split_of(["/data/videos/Sit/a.avi"], ["/data/videos/Sit/b.avi"])
    train, test = match_keys(split, ["Sit/b.avi", "Sit/a.avi"])
    assert (train.tolist(), test.tolist()) == ([1], [0])


def test_the_nearest_name_wins() -> None:
    keys = ["old/Sit/a.avi", "sit/a.avi", "Sit/a.avi"]
    assert match_keys(split_of(["Sit/a.avi"], []), keys)[0].tolist() == [2]
    assert match_keys(split_of(["SIT/a.avi"], []), keys[:2])[0].tolist() == [1]


def test_part_of_a_name_is_no_match() -> None:
    with pytest.raises(ConfigError, match=r"1 of 1 videos of the split have no key: Sit/a.avi"):
        match_keys(split_of(["Sit/a.avi"], []), ["BabySit/a.avi", "Sit/aa.avi", "Sit/a.mp4"])


def test_missing_videos_are_counted_and_named() -> None:
    split = split_of([f"Sit/{n}.avi" for n in range(5)], ["Sit/t.avi"])
    with pytest.raises(ConfigError, match=r"^5 of 6 videos .*Sit/1\.avi, Sit/2\.avi, Sit/3\.avi,"):
        match_keys(split, ["Sit/0.avi"])


def test_several_keys_or_several_videos_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"match several keys: Sit/a.avi"):
        match_keys(split_of(["Sit/a.avi"], []), ["one/Sit/a.avi", "two/Sit/a.avi"])
    with pytest.raises(ConfigError, match=r"1 keys each match several videos.*: a.avi"):
        match_keys(split_of(["Sit/a.avi"], ["Stand/a.avi"]), ["a.avi"])


@given(
    names=st.lists(
        st.tuples(st.sampled_from(["Sit", "Stand", "x"]), st.text("abAB", min_size=1, max_size=3)),
        min_size=1,
        max_size=20,
        unique_by=lambda parts: (parts[0], parts[1].casefold()),
    ),
    prefix=st.sampled_from(["", "v/", "v/w/"]),
    order=st.randoms(use_true_random=False),
)
def test_every_video_finds_its_own_row(
    names: list[tuple[str, str]], prefix: str, order: Random
) -> None:
    paths = [f"{folder}/{stem}.avi" for folder, stem in names]
    keys = [prefix + path.swapcase() for path in paths]
    shuffled = list(keys)
    order.shuffle(shuffled)
    train, test = match_keys(split_of(paths[::2], paths[1::2]), shuffled)
    # Prefix letters keep their case; only the paths' case was swapped.
    assert [shuffled[row] for row in train] == keys[::2]
    assert [shuffled[row] for row in test] == keys[1::2]
