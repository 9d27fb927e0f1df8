"""Proves that UCF101's layout is read right: against the official lists (sizes and group rule),
against real files in that layout, against hand-written files with every quirk met in the wild,
and that each fault is refused by name instead of skipped.
"""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.evaluation.action.split import match_keys
from avrep.evaluation.action.ucf101 import group_of, read_ucf101

CLASSES = "1 Archery\n2 HandstandPushups\n"
TRAIN = "Archery/v_Archery_g08_c01.avi 1\nHandstandPushups/v_HandStandPushups_g09_c01.avi 2\n"
TEST = "Archery/v_Archery_g01_c01.avi\nHandstandPushups/v_HandStandPushups_g02_c01.avi\n"


def write_lists(folder: Path, classes: str = CLASSES, train: str = TRAIN, test: str = TEST) -> Path:
    for name, text in (("classInd", classes), ("trainlist01", train), ("testlist01", test)):
        (folder / f"{name}.txt").write_bytes(text.encode())
    return folder


def write_videos(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


@pytest.mark.media
@pytest.mark.parametrize(
    ("fold", "num_train", "num_test", "test_groups"),
    [(1, 9537, 3783, range(1, 8)), (2, 9586, 3734, range(8, 15)), (3, 9624, 3696, range(15, 22))],
)
def test_official_lists(
    media_root: Path, fold: int, num_train: int, num_test: int, test_groups: range
) -> None:
    splits = media_root / "action/splits/ucf101"
    split = read_ucf101(None, splits, fold)
    assert (len(split.train), len(split.test)) == (num_train, num_test)
    assert len({video.path for video in (*split.train, *split.test)}) == 13320
    assert len(split.class_names) == 101
    # An independent reading of groups and labels, straight from the text.
    texts = {
        side: (splits / f"{side}list{fold:02d}.txt").read_text().split("\n")
        for side in ("train", "test")
    }
    numbers = {side: set(re.findall(r"_g(\d\d)_", "\n".join(texts[side]))) for side in texts}
    assert numbers["test"] == {f"{number:02d}" for number in test_groups}
    assert not numbers["test"] & numbers["train"]
    assert {video.group for video in split.test} == {f"g{number:02d}" for number in test_groups}
    assert split.straddling_groups() == ()
    assert read_ucf101(None, splits, fold, group_scope="corpus").straddling_groups() == ()
    labels = [int(line.split()[1]) - 1 for line in texts["train"] if line]
    assert [video.label for video in split.train] == labels
    for video in split.test:
        assert split.class_names[video.label] == video.path.split("/")[0]
    assert split.class_names[36] == "HandstandPushups"
    assert sum(video.path.startswith("HandstandPushups/v_HandStand") for video in split.test) > 20


@pytest.mark.media
def test_official_test_lists_are_disjoint(media_root: Path) -> None:
    tests = [
        {video.path for video in read_ucf101(None, media_root / "action/splits/ucf101", fold).test}
        for fold in (1, 2, 3)
    ]
    assert len(set.union(*tests)) == sum(len(test) for test in tests) == 3783 + 3734 + 3696


@pytest.mark.media
@pytest.mark.parametrize(("fold", "num_train", "num_test"), [(1, 27, 6), (2, 24, 9), (3, 15, 18)])
def test_real_videos_in_this_layout(
    media_root: Path, fold: int, num_train: int, num_test: int
) -> None:
    root = media_root / "action/gmdcsa24_ucfstyle"
    split = read_ucf101(root / "videos", root / "splits", fold, group_scope="corpus")
    assert (len(split.train), len(split.test)) == (num_train, num_test)
    assert split.class_names == ("FallDown", "Sit", "StandWalk")
    assert {video.group for video in split.test} == {f"g{fold:02d}"}
    assert all((root / "videos" / video.path).is_file() for video in (*split.train, *split.test))
    on_disk = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.avi"))]
    train_rows, test_rows = match_keys(split, on_disk)
    assert sorted([*train_rows, *test_rows]) == list(range(33))
    for video, row in zip(split.test, test_rows, strict=True):
        assert on_disk[row] == f"videos/{video.path}"


def test_the_plain_format(tmp_path: Path) -> None:
    split = read_ucf101(None, write_lists(tmp_path), 1)
    assert split.class_names == ("Archery", "HandstandPushups")
    assert [(v.path, v.label, v.group) for v in split.train] == [
        ("Archery/v_Archery_g08_c01.avi", 0, "g08"),
        ("HandstandPushups/v_HandStandPushups_g09_c01.avi", 1, "g09"),
    ]
    assert [(v.label, v.group) for v in split.test] == [(0, "g01"), (1, "g02")]


def test_line_ends_spaces_blanks_and_marks_change_nothing(tmp_path: Path) -> None:
    plain = read_ucf101(None, write_lists(tmp_path), 1)
    write_lists(
        tmp_path,
        "\ufeff1 Archery  \r\n\r\n 2  HandstandPushups\r\n",
        "\r\n" + TRAIN.replace("\n", " \t\r\n") + "\r\n  \r\n",
        "Archery\\v_Archery_g01_c01.avi\t\r\n"
        "  HandstandPushups/v_HandStandPushups_g02_c01.avi  2\r\n",
    )
    assert read_ucf101(None, tmp_path, 1) == plain


@pytest.mark.parametrize("folder", ["HandstandPushups", "HandStandPushups", "handstandpushups"])
@pytest.mark.parametrize("stem", ["v_HandStandPushups", "v_HandstandPushups"])
def test_case_is_the_disks(tmp_path: Path, folder: str, stem: str) -> None:
    files = [f"{folder}/{stem}_g09_c01.avi", f"{folder}/{stem}_g02_c01.avi"]
    archery = ["Archery/v_Archery_g08_c01.avi", "Archery/v_Archery_g01_c01.avi"]
    videos = write_videos(tmp_path / "videos", *files, *archery)
    split = read_ucf101(videos, write_lists(tmp_path), 1)
    assert [video.path for video in split.train] == [archery[0], files[0]]
    assert [video.path for video in split.test] == [archery[1], files[1]]
    assert [video.label for video in split.train] == [0, 1]


def test_of_two_files_that_differ_in_case_the_listed_one_is_taken(tmp_path: Path) -> None:
    listed = [line.split()[0] for line in (TRAIN + TEST).split("\n") if line]
    videos = write_videos(tmp_path / "videos", *listed, listed[1].replace("Stand", "stand"))
    assert read_ucf101(videos, write_lists(tmp_path), 1).train[1].path == listed[1]
    (videos / listed[1]).unlink()
    write_videos(videos, listed[1].replace("Stand", "STAND"))
    with pytest.raises(ConfigError, match=r"1 listed videos match several files.*g09_c01"):
        read_ucf101(videos, tmp_path, 1)


def test_missing_videos_are_counted_and_named(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", "Archery/v_Archery_g08_c01.avi", "Other/x.avi")
    with pytest.raises(ConfigError, match=r"^3 of 4 listed videos are not in .*v_HandStand") as no:
        read_ucf101(videos, write_lists(tmp_path), 1)
    assert "\n" not in str(no.value)
    with pytest.raises(ConfigError, match="no folder"):
        read_ucf101(tmp_path / "nowhere", tmp_path, 1)


def test_a_class_file_in_a_folder_inside_is_not_a_video(tmp_path: Path) -> None:
    listed = [line.split()[0] for line in (TRAIN + TEST).split("\n") if line]
    extra = "Archery/v_Archery_g08_c01/TSP_Flows/frame.jpg"
    videos = write_videos(tmp_path / "videos", *listed, extra)
    assert len(read_ucf101(videos, write_lists(tmp_path), 1).train) == 2


@pytest.mark.parametrize(
    ("classes", "train", "test", "message"),
    [
        (CLASSES, TRAIN.replace(".avi 1", ".avi 0"), TEST, r"trainlist01.txt:1: label 0.*from 1"),
        (CLASSES, TRAIN.replace(".avi 1", ".avi 2"), TEST, r"label 2, but folder 'Archery'"),
        (CLASSES, TRAIN.replace(".avi 2", ".avi"), TEST, r"trainlist01.txt:2: a train list gives"),
        (CLASSES, TRAIN, TEST.replace("02_c01.avi", "02_c01.avi 1"), r"testlist01.txt:2: label 1"),
        (CLASSES, TRAIN + TRAIN, TEST, r"^2 videos are listed twice"),
        (CLASSES, TRAIN, TEST + TRAIN.upper().replace("AVI 1", "avi"), r"videos are listed twice"),
        (CLASSES, TRAIN, TEST + "Archery/v_Archery_g08_c02.avi\n", r"^1 groups .*Archery/g08"),
        (CLASSES, TRAIN, TEST + "Bowling/v_Bowling_g01_c01.avi\n", r"'Bowling' is no class"),
        (CLASSES, TRAIN, TEST + "v_Archery_g03_c01.avi\n", r"testlist01.txt:3: want"),
        (CLASSES, TRAIN, TEST + "../v_Archery_g03_c01.avi\n", r"testlist01.txt:3: want"),
        (CLASSES, TRAIN, TEST + "a/Archery/v_Archery_g03_c01.avi\n", r"testlist01.txt:3: want"),
        (CLASSES, TRAIN, "\n\r\n", r"testlist01.txt lists no videos"),
        ("0 Archery\n1 HandstandPushups\n", TRAIN, TEST, r"labels must be 1 to"),
        ("1 Archery\n3 HandstandPushups\n", TRAIN, TEST, r"labels must be 1 to"),
        ("1 Archery\n1 HandstandPushups\n", TRAIN, TEST, r"classInd.txt:2: label 1 names two"),
        ("1 Archery\n2 archery\n", TRAIN, TEST, r"two labels name the same class"),
        ("Archery\nHandstandPushups\n", TRAIN, TEST, r"classInd.txt:1: want"),
        ("", TRAIN, TEST, r"labels must be 1 to"),
    ],
)
def test_faults_are_refused(
    tmp_path: Path, classes: str, train: str, test: str, message: str
) -> None:
    write_lists(tmp_path, classes, train, test)
    with pytest.raises(ConfigError, match=message):
        read_ucf101(None, tmp_path, 1)


def test_a_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    write_lists(tmp_path)
    with pytest.raises(ConfigError, match=r"no list trainlist02\.txt"):
        read_ucf101(None, tmp_path, 2)
    (tmp_path / "testlist01.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_ucf101(None, tmp_path, 1)


def test_a_group_number_is_shared_across_classes_only_in_scope_corpus(tmp_path: Path) -> None:
    test = TEST.replace("HandStandPushups_g02", "HandStandPushups_g08")
    write_lists(tmp_path, test=test)
    assert read_ucf101(None, tmp_path, 1).straddling_groups() == ()
    with pytest.raises(ConfigError, match=r"1 groups are in both lists of fold 1.*g08"):
        read_ucf101(None, tmp_path, 1, group_scope="corpus")
    split = read_ucf101(None, tmp_path, 1, group_scope="corpus", allow_straddling=True)
    assert split.straddling_groups() == ("g08",)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("Archery/v_Archery_g8_c1.avi", "g08"),
        ("v_Archery_G25_C07.mp4", "g25"),
        ("x/v_a_g01_c01_g02_c03.avi", "g02"),
        ("v_Archery_g08_c01/frame.avi", None),
        ("jog_g1x_c1.avi", None),
        ("plain.avi", None),
    ],
)
def test_group_of(path: str, group: str | None) -> None:
    assert group_of(path) == group


NAMES = st.lists(
    st.text("abcdefghijkXYZ", min_size=1, max_size=8),
    min_size=2,
    max_size=5,
    unique_by=str.casefold,
)


@given(
    names=NAMES,
    sides=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30),
    end=st.sampled_from(["\n", "\r\n", " \r\n", "\n\n"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    sides: list[tuple[int, bool]],
    end: str,
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    wanted: dict[bool, list[tuple[str, int, str]]] = {False: [], True: []}
    for number, (draw, tested) in enumerate([(0, False), (1, True), *sides], start=1):
        label = draw % len(names)
        path = f"{names[label]}/v_{names[label]}_g{number:02d}_c01.avi"
        wanted[tested].append((path, label, f"g{number:02d}"))
    write_lists(
        folder,
        end.join(f"{label} {name}" for label, name in enumerate(names, start=1)),
        end.join(f"{path} {label + 1}" for path, label, _ in wanted[False]) + end,
        end.join(path for path, _, _ in wanted[True]),
    )
    split = read_ucf101(None, folder, 1)
    assert split.class_names == tuple(names)
    assert [(v.path, v.label, v.group) for v in split.train] == wanted[False]
    assert [(v.path, v.label, v.group) for v in split.test] == wanted[True]


PIECES = ["Archery", "v_Archery_g01_c01.avi", "/", "\\", "..", " ", "1", "2", "\n", "\r", "\u0661"]


@given(text=st.one_of(st.text(max_size=50), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = write_lists(tmp_path_factory.mktemp("lists"))
    (folder / "testlist01.txt").write_text(text, encoding="utf-8", newline="")
    split = None
    with contextlib.suppress(ConfigError):
        split = read_ucf101(None, folder, 1)
    if split is not None:
        assert all(video.path.split("/")[0].casefold() == "archery" for video in split.test)
        assert all(video.label == 0 for video in split.test)
