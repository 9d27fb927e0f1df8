"""Proves that each data set is found as its archives lie when they are unpacked, that what is
missing is counted and named, and that a folder that is none shows the tree that was expected.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, ActionTask, data_on_disk
from avrep.evaluation.action.read import ACTION_FOLDS, read_action_data
from avrep.evaluation.action.ucf101 import read_ucf101
from avrep.evaluation.action.ucf101_folder import require_official_sizes
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out

UCF_FILES = (
    "UCF-101/Archery/v_Archery_g08_c01.avi",
    "UCF-101/Archery/v_Archery_g01_c01.avi",
    "UCF-101/HandstandPushups/v_HandStandPushups_g09_c01.avi",
    "UCF-101/HandstandPushups/v_HandStandPushups_g02_c01.avi",
)


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def write_ucf(root: Path) -> Path:
    touch(root, *UCF_FILES)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
    (lists / "trainlist01.txt").write_bytes(
        b"Archery/v_Archery_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g09_c01.avi 2\r\n"
    )
    (lists / "testlist01.txt").write_bytes(
        b"Archery/v_Archery_g01_c01.avi \r\nHandStandPushups/v_HandstandPushups_g02_c01.avi\r\n"
    )
    return root


def write_hmdb(root: Path) -> Path:
    touch(root, "hmdb51_org/clap/F_clap_u_nm_np1_fr_goo_0.avi", "hmdb51_org/wave/w_wave_u_1.avi")
    touch(root, "hmdb51_org/clap/G_clap_u_nm_np1_fr_goo_9.avi", "hmdb51_org/wave/x_wave_u_1.avi")
    lists = root / "testTestMulti_7030_splits"
    lists.mkdir()
    (lists / "clap_test_split1.txt").write_bytes(
        b"F_clap_u_nm_np1_fr_goo_0.avi 1 \r\nG_clap_u_nm_np1_fr_goo_9.avi 2 \r\nlost.avi 0 \r\n"
    )
    (lists / "wave_test_split1.txt").write_bytes(b"w_wave_u_1.avi 2 \nx_wave_u_1.avi 1 \n")
    return root


def write_kinetics(root: Path, *, with_classes: bool) -> Path:
    folders = ("abseiling/", "zumba/") if with_classes else ("", "")
    touch(
        root,
        f"train/{folders[0]}-B3_lod2M_0_000059_000069.mp4",
        f"train/{folders[1]}abcdefghijk_000000_000010.mp4",
        f"val/{folders[1]}bbcdefghijk_000005_000015.mp4",
    )
    tables = root / "annotations"
    tables.mkdir()
    head = "label,youtube_id,time_start,time_end,split\n"
    (tables / "train.csv").write_text(
        f'{head}"abseiling",-B3_lod2M_0,59,69,train\nzumba,abcdefghijk,0,10,train\n'
    )
    (tables / "val.csv").write_text(f"{head}zumba,bbcdefghijk,5,15,validate\n")
    (tables / "test.csv").write_text(f"{head},cbcdefghijk,5,15,test\n")
    return root


def write_ssv2(root: Path, prefix: str = "") -> Path:
    touch(root, *(f"20bn-something-something-v2/{number}.webm" for number in (1, 2, 3)))
    (root / "labels").mkdir()
    labels = {"Holding something": "1", "Throwing something in the air": "0"}
    video = {"label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}
    thrown = {"template": "Throwing [something] in the air"}
    for name, content in (
        ("labels", labels),
        ("train", [{"id": "1", **video}, {"id": "2", **thrown}]),
        ("validation", [{"id": "3", **video}]),
    ):
        (root / "labels" / f"{prefix}{name}.json").write_text(json.dumps(content))
    return root


def sides(data: ActionData) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    train, test = (
        [(video.path, data.split.class_names[video.label]) for video in side]
        for side in (data.split.train, data.split.test)
    )
    for path, _ in (*train, *test):
        assert (data.videos_dir / path).is_file()
    return train, test


def test_ucf101_with_line_ends_and_case_as_they_come(tmp_path: Path) -> None:
    train, test = sides(read_action_data(write_ucf(tmp_path), "ucf101"))
    assert train == [
        ("Archery/v_Archery_g08_c01.avi", "Archery"),
        ("HandstandPushups/v_HandStandPushups_g09_c01.avi", "HandstandPushups"),
    ]
    assert test[1] == ("HandstandPushups/v_HandStandPushups_g02_c01.avi", "HandstandPushups")


def test_hmdb51_leaves_unused_clips_out(tmp_path: Path) -> None:
    train, test = sides(read_action_data(write_hmdb(tmp_path), "hmdb51"))
    assert train == [("clap/F_clap_u_nm_np1_fr_goo_0.avi", "clap"), ("wave/x_wave_u_1.avi", "wave")]
    assert test == [("clap/G_clap_u_nm_np1_fr_goo_9.avi", "clap"), ("wave/w_wave_u_1.avi", "wave")]


@pytest.mark.parametrize("with_classes", [True, False])
def test_kinetics_in_class_folders_or_as_in_the_archives(
    tmp_path: Path, with_classes: bool
) -> None:
    data = read_action_data(write_kinetics(tmp_path, with_classes=with_classes), "kinetics")
    train, test = sides(data)
    names = [(path.rpartition("/")[2], name) for path, name in (*train, *test)]
    assert names == [
        ("-B3_lod2M_0_000059_000069.mp4", "abseiling"),
        ("abcdefghijk_000000_000010.mp4", "zumba"),
        ("bbcdefghijk_000005_000015.mp4", "zumba"),
    ]
    assert [video.group for video in data.split.test] == ["bbcdefghijk"]
    assert "tested on val.csv" in data.notes


def test_kinetics_replacements_and_links_stand_for_their_files(tmp_path: Path) -> None:
    root = write_kinetics(tmp_path, with_classes=False)
    touch(root, "replacement/replacement_for_corrupted_k400/abcdefghijk_000000_000010.mp4")
    linked = root / "videos/val/zumba/bbcdefghijk_000005_000015.mp4"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(root / "val/bbcdefghijk_000005_000015.mp4")
    train, test = sides(read_action_data(root, "kinetics"))
    assert train[1][0].startswith("replacement/")
    assert test[0][0].endswith("bbcdefghijk_000005_000015.mp4")
    touch(root, "elsewhere/bbcdefghijk_000005_000015.mp4")
    with pytest.raises(ConfigError, match="listed videos match several files"):
        read_action_data(root, "kinetics")


def test_plain_lists_of_path_and_label(tmp_path: Path) -> None:
    touch(tmp_path, "videos/my a.mp4", "videos/b.mp4", "videos/c.mp4")
    (tmp_path / "train.csv").write_text("/gone/videos/my a.mp4 0\n/gone/videos/b.mp4 1\n")
    (tmp_path / "val.csv").write_text("c.mp4 1\n")
    train, test = sides(read_action_data(tmp_path, "kinetics"))
    assert train == [("videos/my a.mp4", "0"), ("videos/b.mp4", "1")]
    assert test == [("videos/c.mp4", "1")]


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something(tmp_path: Path, prefix: str) -> None:
    data = read_action_data(write_ssv2(tmp_path, prefix), "ssv2")
    assert data.split.class_names == ("Throwing something in the air", "Holding something")
    train, test = sides(data)
    assert train == [
        ("20bn-something-something-v2/1.webm", "Holding something"),
        ("20bn-something-something-v2/2.webm", "Throwing something in the air"),
    ]
    assert test == [("20bn-something-something-v2/3.webm", "Holding something")]


def test_a_template_that_is_no_class_is_refused(tmp_path: Path) -> None:
    root = write_ssv2(tmp_path)
    (root / "labels/train.json").write_text('[{"id": "1", "template": "Losing [something]"}]')
    with pytest.raises(ConfigError, match=r"train.json, video 1: 'Losing \[something\]' is no cl"):
        read_action_data(root, "ssv2")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label,youtube_id\nzumba,a\n", "train.csv:1: want '<path> <label from 0>'"),
        ("label,youtube_id,time_start,time_end\nzumba,a,x,9\n", "train.csv:2: want times in sec"),
        ("label,youtube_id,time_start,time_end\n,a,1,9\n", "train.csv:2: no label or no YouTube"),
        ("label,youtube_id,time_start,time_end\n", "train.csv lists no videos"),
        ("label,youtube_id,time_start,time_end\nrun,a,1,9\n", "1 classes of val.csv are not in tr"),
    ],
)
def test_faults_of_kinetics_tables_are_refused(tmp_path: Path, table: str, message: str) -> None:
    root = write_kinetics(tmp_path, with_classes=True)
    (root / "annotations/train.csv").write_text(table)
    with pytest.raises(ConfigError, match=message):
        read_action_data(root, "kinetics")


def test_lists_of_all_174_classes_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    root = write_ssv2(tmp_path)
    labels = {f"Doing {number}": str(number) for number in range(173)}
    thrown = {"Throwing something in the air": "173"}
    for name, template in (("train", "Doing 5"), ("validation", "Throwing [something] in the air")):
        videos = [{"id": "1" if name == "train" else "3", "template": template}]
        (root / f"labels/{name}.json").write_text(json.dumps(videos))
    (root / "labels/labels.json").write_text(json.dumps({**labels, **thrown}))
    with pytest.raises(
        ConfigError, match="list 1 and 1 videos, the published lists 168913 and 247"
    ):
        read_action_data(root, "ssv2")


def test_class_folders_with_sides_and_without(tmp_path: Path) -> None:
    touch(tmp_path / "a", "train/Run/1.mp4", "train/Sit/1.mp4", "val/Run/2.mp4")
    train, test = sides(read_action_data(tmp_path / "a", "video_folder"))
    assert train == [("train/Run/1.mp4", "Run"), ("train/Sit/1.mp4", "Sit")]
    assert test == [("val/Run/2.mp4", "Run")]
    touch(
        tmp_path / "b", *(f"{c}/v_g{g:02d}_c0{k}.avi" for c in "XY" for g in range(8) for k in "12")
    )
    drawn = read_action_data(tmp_path / "b", "video_folder")
    assert len(drawn.split.train) + len(drawn.split.test) == 32
    assert 4 <= len(drawn.split.test) <= 12
    assert drawn.split.straddling_groups() == ()
    assert any("avrep's own draw" in note for note in drawn.notes)


def test_missing_videos_are_refused_by_name_unless_allowed_and_then_told(tmp_path: Path) -> None:
    root = write_ucf(tmp_path)
    whole = read_action_data(root, "ucf101")
    touch(root, "UCF-101/Archery/v_Archery_g08_c02.avi")
    with (root / "ucfTrainTestlist/trainlist01.txt").open("a") as lists:
        lists.write("Archery/v_Archery_g08_c02.avi 1\n")
    more = read_action_data(root, "ucf101")
    (root / "UCF-101/Archery/v_Archery_g08_c02.avi").unlink()
    with pytest.raises(ConfigError, match=r"^1 of 5 listed videos are not below .*g08_c02.avi"):
        read_action_data(root, "ucf101")
    allowed = read_action_data(root, "ucf101", allow_missing=True)
    told = [note for note in allowed.notes if "1 of 5 listed videos are missing" in note]
    assert len(told) == 1
    assert "v_Archery_g08_c02.avi" in told[0]
    assert allowed.split == whole.split
    assert allowed.digest == whole.digest != more.digest


@pytest.mark.parametrize("task", list(ACTION_FOLDS))
def test_a_folder_without_the_data_set_shows_the_tree_that_was_expected(
    tmp_path: Path, task: ActionTask
) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ConfigError, match=r"no .*below.*\. Expected:\n.*\n├── ") as error:
        read_action_data(tmp_path, task)
    assert str(tmp_path) in str(error.value)


def test_other_data_in_an_official_layout_go_by_their_folder_s_name(tmp_path: Path) -> None:
    data = {
        "ucf101": read_action_data(write_ucf(tmp_path / "u"), "ucf101"),
        "hmdb51": read_action_data(write_hmdb(tmp_path / "h"), "hmdb51"),
        "kinetics": read_action_data(write_kinetics(tmp_path / "k", with_classes=True), "kinetics"),
        "ssv2": read_action_data(write_ssv2(tmp_path / "s"), "ssv2"),
    }
    for name, each in data.items():
        facts = each.facts(0)
        assert (each.task, facts.name, facts.other_lists) == (name, name[0], True)


def test_what_is_asked_wrongly_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ucf101 has no split 4; it has 1 to 3"):
        read_action_data(tmp_path, "ucf101", 4)
    with pytest.raises(ConfigError, match="folder has no split 2"):
        read_action_data(tmp_path, "video_folder", 2)
    with pytest.raises(ConfigError, match="ucf101: no folder"):
        read_action_data(tmp_path / "nowhere", "ucf101")


@pytest.mark.media
def test_the_published_lists_of_ucf101_joined_with_its_files(media_root: Path) -> None:
    lists = media_root / "action/splits/ucf101"
    split = read_ucf101(None, lists, 2)
    require_official_sizes(split, lists, 2)
    with pytest.raises(ConfigError, match="lists 9586 train and 3734 test videos, the published"):
        require_official_sizes(split, lists, 1)
    files = [f"{video.path.lower()}" for video in (*split.train, *split.test)]
    data = data_on_disk("ucf101", split, Path("x"), fold=2, num_folds=3, files=files)
    facts = data.facts(num_valid=100)
    assert (facts.num_train, facts.num_valid, facts.num_test) == (9486, 100, 3734)
    assert facts.part == "split 2"
    again = data_on_disk("ucf101", split, Path("y"), fold=2, num_folds=3, files=files)
    assert again.digest == data.digest


@pytest.mark.media
def test_the_published_lists_and_all_their_files_are_the_official_data(
    media_root: Path, tmp_path: Path
) -> None:
    lists = media_root / "action/splits/ucf101"
    split = read_ucf101(None, lists, 1)
    for video in (*split.train, *split.test):
        touch(tmp_path, f"UCF-101/{video.path}")
    (tmp_path / "ucfTrainTestlist").symlink_to(lists)
    facts = read_action_data(tmp_path, "ucf101").facts(0)
    assert (facts.name, facts.other_lists) == ("ucf101", False)


@pytest.mark.media
def test_what_is_chosen_on_is_a_fifth_of_each_class_in_whole_groups(media_root: Path) -> None:
    split = read_ucf101(None, media_root / "action/splits/ucf101", 1)
    labels = [str(video.label) for video in split.train]
    groups = [video.group for video in split.train]
    for seed in range(2):
        held = hold_out(labels, groups, 0.2, generator(seed, Draw.HOLD_OUT))
        sides = [
            {group for group, out in zip(groups, held, strict=True) if out == wanted}
            for wanted in (True, False)
        ]
        assert sides[0]
        assert not sides[0] & sides[1]
        whole = Counter(labels)
        taken = Counter(label for label, out in zip(labels, held, strict=True) if out)
        shares = [taken[label] / count for label, count in whole.items()]
        assert min(shares) > 0.12
        assert max(shares) < 0.3
