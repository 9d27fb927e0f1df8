"""Proves that HMDB51's lists read right: the published ones by their known sizes and sources, and
hand-written ones with every quirk met in the wild, each fault refused by name.
"""

from collections import Counter
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.hmdb51 import read_hmdb51

CLAP = "A_Film_clap_u_nm_np1_fr_goo_0.avi 1 \r\nA_Film_clap_u_nm_np1_fr_goo_1.avi 0 \r\n\r\nB!_(2)_clap_f_cm_np1_ba_bad_3.avi 2 \r\n"
WAVE = "A_Film_wave_u_nm_np1_fr_goo_0.avi 2\nwave_wave_wave_f_cm_np1_ba_bad_0.avi 1\n"


def write_lists(folder: Path, clap: str = CLAP, wave: str = WAVE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "clap_test_split1.txt").write_bytes(clap.encode())
    (folder / "wave_test_split1.txt").write_bytes(wave.encode())
    return folder


@pytest.mark.media
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_the_published_lists(media_root: Path, fold: int) -> None:
    split = read_hmdb51(media_root / "action/splits/hmdb51", fold)
    assert len(split.class_names) == 51
    assert split.class_names[:2] == ("brush_hair", "cartwheel")
    assert (len(split.train), len(split.test)) == (3570, 1530)
    assert set(Counter(video.label for video in split.train).values()) == {70}
    assert set(Counter(video.label for video in split.test).values()) == {30}
    assert all(video.group for video in (*split.train, *split.test))
    assert split.straddling_groups() == ()


def test_line_ends_trailing_spaces_and_unused_clips(tmp_path: Path) -> None:
    split = read_hmdb51(write_lists(tmp_path), 1)
    assert split.class_names == ("clap", "wave")
    assert [(v.path, v.label, v.group) for v in split.train] == [
        ("clap/A_Film_clap_u_nm_np1_fr_goo_0.avi", 0, "A_Film"),
        ("wave/wave_wave_wave_f_cm_np1_ba_bad_0.avi", 1, "wave_wave"),
    ]
    assert [(v.path, v.label, v.group) for v in split.test] == [
        ("clap/B!_(2)_clap_f_cm_np1_ba_bad_3.avi", 0, "B!_(2)"),
        ("wave/A_Film_wave_u_nm_np1_fr_goo_0.avi", 1, "A_Film"),
    ]


@pytest.mark.parametrize(
    ("clap", "message"),
    [
        ("a_clap_u.avi 3\n", r"clap_test_split1.txt:1: want '<file> <0, 1 or 2>'"),
        ("a_clap_u.avi\n", r"clap_test_split1.txt:1: want"),
        ("clap/a_clap_u.avi 1\n", r"clap_test_split1.txt:1: want"),
        ("a_clap_u.avi 1\na_clap_v.avi 2\n", r"1 sources are on both sides: clap/a"),
        ("a.avi 1\nb.avi 2\nA.avi 2\n", r"1 videos are listed twice: clap/a.avi"),
    ],
)
def test_faults_are_refused(tmp_path: Path, clap: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_hmdb51(write_lists(tmp_path, clap), 1)


def test_a_split_without_a_side_or_without_lists_is_refused(tmp_path: Path) -> None:
    write_lists(tmp_path, "a.avi 1\n", "b.avi 1\n")
    with pytest.raises(ConfigError, match="split 1 name no test video"):
        read_hmdb51(tmp_path, 1)
    with pytest.raises(ConfigError, match="split 2 name no train video"):
        read_hmdb51(tmp_path, 2)


@pytest.mark.media
def test_published_lists_cut_short_are_refused(media_root: Path, tmp_path: Path) -> None:
    for path in (media_root / "action/splits/hmdb51").glob("*_split1.txt"):
        (tmp_path / path.name).write_text(path.read_text())
    short = (tmp_path / "wave_test_split1.txt").read_text().rstrip().rpartition("\n")[0]
    (tmp_path / "wave_test_split1.txt").write_text(short)
    with pytest.raises(ConfigError, match=r"lists 35\d\d train and 15\d\d test videos, the pub"):
        read_hmdb51(tmp_path, 1)
