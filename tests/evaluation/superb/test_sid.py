"""Proves speaker identification's reader on a small tree in VoxCeleb1's layout."""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.superb.sid import SpeakerIdentification

_LINES = [
    "1 id10001/vid1/00001.wav",
    "1 id10270/vid1/00001.wav",
    "2 id10270/vid1/00002.wav",
    "3 id10001/vid2/00001.wav",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two speakers, one in each archive."""
    (tmp_path / "veri_test_class.txt").write_text("\r\n".join(_LINES) + "\r\n")
    for line in _LINES:
        name = line.split()[1]
        archive = "test" if "id10270" in name else "dev"
        path = tmp_path / archive / "wav" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_the_list_is_read(root: Path) -> None:
    task = SpeakerIdentification(own_data=True)
    data = task.read(root, "")
    assert [each.recording.key for each in data.train] == [
        "id10001-vid1-00001",
        "id10270-vid1-00001",
    ]
    assert data.valid[0].recording.path == root / "test/wav/id10270/vid1/00002.wav"
    assert (data.test[0].labels, data.test[0].recording.speaker) == (("id10001",), "id10001")
    assert task.classes(data) == (("id10001", "id10270"),)
    assert "2 training utterances (officially 138361)" in data.notes[0]
    assert "2 speakers (officially 1251)" in data.notes[0]
    (root / "veri_test_class.txt").rename(root / "iden_split.txt")
    assert task.read(root, "").facts == data.facts


def test_the_recipe_is_superb_s() -> None:
    recipe = SpeakerIdentification.recipe
    assert (recipe.batch_size, recipe.num_accumulated, recipe.num_steps) == (8, 4, 200_000)
    assert (recipe.crop_samples, recipe.lr, recipe.eval_every) == (128_000, 1e-4, 4_000)


def test_predictions_are_written_for_superb_s_tools(root: Path, tmp_path: Path) -> None:
    task = SpeakerIdentification(own_data=True)
    (path,) = task.write_outputs(tmp_path / "out", task.read(root, ""), [("id10270",)])
    assert path.name == "test_predict.txt"
    assert path.read_text() == "id10001-vid2-00001 id10270\n"


def test_what_is_missing_is_told_with_the_tree(root: Path) -> None:
    def refused(fault: str) -> None:
        with pytest.raises(ConfigError, match=fault) as told:
            SpeakerIdentification().read(root, "")
        assert "dev/wav/id10001/1zcIwhmdeo4/00001.wav" in str(told.value)

    refused(r"officially 138361\).*--own-data")
    (root / "dev/wav/id10001/vid2/00001.wav").unlink()
    refused(r"1 missing: \*/wav/id10001/vid2/00001\.wav")
    (root / "veri_test_class.txt").write_text("4 id10001/vid1/00001.wav\n")
    refused("veri_test_class.txt:1 is '4 id10001")
    (root / "veri_test_class.txt").write_text("1 id10270/vid1/00001.wav\n3 id10001/vid1/00001.wav")
    refused("there is no validation utterances")
    (root / "veri_test_class.txt").unlink()
    refused(r"1 missing: veri_test_class\.txt")


def test_a_speaker_who_is_never_trained_is_refused(root: Path) -> None:
    lines = [line for line in _LINES if line != "1 id10001/vid1/00001.wav"]
    (root / "veri_test_class.txt").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="1 speakers have no training utterances: id10001"):
        SpeakerIdentification(own_data=True).read(root, "")
