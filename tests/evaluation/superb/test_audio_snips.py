"""Proves that Audio SNIPS's layout is read right: whose voices count in which folder, what each word is
for; and that each fault of it is refused in one line that names it.
"""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.superb.audio_snips import SPEAKERS, read_audio_snips, read_slots
from avrep.evaluation.superb.sf import SlotFilling
from tests.evaluation.superb.small_trees import hum, write_snips, write_wav

LINE = "PLAY ADELE 'S HELLO\tO artist O album PlayMusic"
KEYS = (
    "Ivy-snips-train-10",
    "Ivy-snips-train-9",
    "Amy-snips-train-0",
    "Amy-snips-valid-0",
    "Ivy-snips-valid-0",
    "Brian-snips-test-0",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_snips(tmp_path, dict.fromkeys(KEYS, LINE))


def refused(root: Path, *, own_data: bool = False) -> str:
    with pytest.raises(ConfigError) as error:
        read_audio_snips(root, "train", own_data=own_data)
    assert "\n" not in str(error.value).partition(" Expected:\n")[0]
    return str(error.value)


def test_reads_the_layout(root: Path) -> None:
    parts = {part: read_audio_snips(root, part, own_data=True) for part in SPEAKERS}
    assert [each.key for each in parts["train"]] == ["Ivy-snips-train-10", "Ivy-snips-train-9"]
    assert [each.key for each in parts["valid"]] == ["Amy-snips-valid-0"]
    assert [each.key for each in parts["test"]] == ["Brian-snips-test-0"]
    sentence = parts["train"][0]
    assert sentence.words == ("PLAY", "ADELE", "'S", "HELLO")
    assert sentence.slots == ("O", "artist", "O", "album")
    assert sentence.speaker == "Ivy"
    assert sentence.path == root / "SNIPS/train/Ivy-snips-train-10.wav"
    assert read_audio_snips(root / "SNIPS", "train", own_data=True) == parts["train"]
    assert read_slots(root) == ("artist", "album")


def test_speakers() -> None:
    voices = [speaker for part in SPEAKERS.values() for speaker in part]
    assert len(voices) == len(set(voices)) == 16
    assert [len(part) for part in SPEAKERS.values()] == [8, 4, 4]


def test_refused(root: Path) -> None:
    folder = root / "SNIPS"
    assert "2 sentences and should have 104672" in refused(root, own_data=False)
    assert "Ivy-snips-train-0.wav" in refused(folder / "train")
    write_wav(folder / "train/Salli-snips-train-3.wav", hum(400))
    assert "sounds of train are not in all.iob.snips.txt: Salli-snips-train-3" in refused(root)
    (folder / "train/Ivy-snips-train-9.wav").unlink()
    assert "sentences of train have no sound: Ivy-snips-train-9.wav" in refused(root)
    (folder / "all.iob.snips.txt").write_text("Ivy-snips-train-9 BOS HI EOS\tO O\n")
    assert "all.iob.snips.txt:1: want 'BOS <words> EOS<tab>O" in refused(root)
    (folder / "slots.txt").write_text("artist\nalbum")
    with pytest.raises(ConfigError, match="first line must be 'O'"):
        read_slots(root)


def test_slots_without_a_name_are_refused(root: Path) -> None:
    (root / "SNIPS/slots.txt").write_text("O\nartist")
    with pytest.raises(ConfigError, match=r"slots of train are not in slots.txt: album"):
        SlotFilling(own_data=True).read(root, "")
