"""Proves that LibriSpeech's layout and SUPERB's lexicons are read right, and that each fault of theirs is
refused in one line that names it: a part that is absent, cut short, or has sound or words alone.
"""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.superb.librispeech import NUM_UTTERANCES, read_librispeech
from avrep.evaluation.superb.num_samples import num_samples
from avrep.evaluation.superb.pronunciations import phones_of, read_pronunciations
from tests.evaluation.superb.small_trees import (
    hum,
    write_flac,
    write_lexicons,
    write_librispeech,
    write_wav,
)

TEXTS = {
    "dev-clean": {
        "84-121-0001": "HELLO  a",
        "84-121-0000": "HELLO WORLD",
        "174-50-0000": "A",
    }
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_librispeech(tmp_path, TEXTS)


def refused(root: Path, *, own_data: bool = False) -> str:
    with pytest.raises(ConfigError) as error:
        read_librispeech(root, "dev-clean", own_data=own_data)
    assert "\n" not in str(error.value).partition(" Expected:\n")[0]
    return str(error.value)


def test_reads_the_layout(root: Path) -> None:
    found = read_librispeech(root, "dev-clean", own_data=True)
    assert [utterance.key for utterance in found] == ["174-50-0000", "84-121-0000", "84-121-0001"]
    assert [utterance.text for utterance in found] == ["A", "HELLO WORLD", "HELLO A"]
    assert [utterance.speaker for utterance in found] == ["174", "84", "84"]
    assert found[0].path == root / "LibriSpeech/dev-clean/174/50/174-50-0000.flac"
    assert read_librispeech(root / "LibriSpeech", "dev-clean", own_data=True) == found


def test_official_numbers(root: Path) -> None:
    assert list(NUM_UTTERANCES.values()) == [28_539, 2703, 2620]
    assert "dev-clean" in refused(root, own_data=False)
    assert "has 3 utterances and should have 2703" in refused(root, own_data=False)


def test_absent(tmp_path: Path) -> None:
    message = refused(tmp_path)
    assert f"{tmp_path} is not LibriSpeech" in message
    assert "there is no dev-clean" in message
    assert "103-1240.trans.txt" in message
    (tmp_path / "dev-clean").mkdir()
    assert "has no utterances" in refused(tmp_path)


def test_sound_without_words_and_words_without_sound(root: Path) -> None:
    chapter = root / "LibriSpeech/dev-clean/84/121"
    (chapter / "84-121-0001.flac").rename(chapter / "84-121-0002.flac")
    assert "1 utterances of dev-clean have no sound: 84-121-0001.flac" in refused(root)
    write_flac(chapter / "84-121-0001.flac", hum(400))
    assert "1 utterances of dev-clean have no transcript: 84-121-0002.flac" in refused(root)
    (chapter / "84-121.trans.txt").unlink()
    assert "1 files of transcripts of dev-clean are missing: 84-121.trans.txt" in refused(root)


@pytest.mark.parametrize("rate_hz", [16_000, 8000])
def test_lengths_from_headers_and_from_packets(tmp_path: Path, rate_hz: int) -> None:
    for name, write in (("a.flac", write_flac), ("a.wav", write_wav)):
        write(tmp_path / name, hum(12_345), rate_hz)
        assert num_samples(tmp_path / name) == 12_345 * 16_000 // rate_hz
    (tmp_path / "b.flac").write_bytes((tmp_path / "a.wav").read_bytes())
    assert num_samples(tmp_path / "b.flac") == 12_345 * 16_000 // rate_hz
    with pytest.raises(ConfigError, match="no file"):
        num_samples(tmp_path / "c.flac")


@pytest.mark.parametrize("folder", [".", "lexicon"])
def test_first_pronunciation_of_the_first_file(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    write_lexicons(tmp_path / folder)
    words = read_pronunciations(tmp_path)
    assert words["HELLO"] == ("HH", "AH0", "L", "OW1")
    assert words["WORLD"] == ("W", "ER1", "L", "D")
    assert len(words) == 4
    found = phones_of(["A HELLO", "ABACUSES"], words)
    assert found == [
        ("AH0", "HH", "AH0", "L", "OW1"),
        ("AE1", "B", "AH0", "K", "AH0", "S", "IH0", "Z"),
    ]


def test_words_without_pronunciation(tmp_path: Path) -> None:
    words = read_pronunciations(write_lexicons(tmp_path))
    with pytest.raises(ConfigError, match="2 words have no pronunciation: XYLEM, ZEBRA"):
        phones_of(["ZEBRA A", "XYLEM", "ZEBRA"], words)


@pytest.mark.parametrize("line", ["HELLO", "HELLO\tHH AH", "HELLO\t<unk>"])
def test_lexicons_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"no librispeech-lexicon-200k-g2p.txt in .* from s3prl"):
        read_pronunciations(tmp_path)
    write_lexicons(tmp_path)
    (tmp_path / "librispeech-lexicon-allothers-g2p.txt").write_text(f"A\tAH0\n{line}\n")
    with pytest.raises(ConfigError, match=r"allothers-g2p.txt:2: want '<word><tab><ARPABET"):
        read_pronunciations(tmp_path)
