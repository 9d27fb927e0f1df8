"""Proves that a Kaldi folder is read right, with segments, with RTTM or with both, and that what does
not fit together is refused by name.
"""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.diarization import Turn
from avrep.evaluation.superb.kaldi_folder import read_kaldi_folder

FILES = {
    "wav.scp": "r2 sounds/b.wav\nr1 sounds/a.wav\n",
    "reco2dur": "r1 3.5\nr2\t2.0\n",
    "segments": "u1 r1 0.5 1.5\nu2 r1 1.0 3.0\nu3 r2 0.0 2.0\n",
    "utt2spk": "u1 B\nu2 A\nu3 B\n",
    "spk2utt": "A u2\nB u1 u3\n",
    "rttm": "SPEAKER r1 1 0.4 1.0 <NA> <NA> B <NA> <NA>\n"
    "SPEAKER r2 1 0.0 2.0 <NA> <NA> B <NA> <NA>\n",
}
SEGMENTS = (
    Turn(start_s=0.5, end_s=1.5, speaker="B"),
    Turn(start_s=1.0, end_s=3.0, speaker="A"),
)
SCORED = (Turn(start_s=0.4, end_s=1.4, speaker="B"),)


def write_folder(folder: Path, **changes: str | None) -> Path:
    (folder / "sounds").mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / "sounds" / name).touch()
    for name, text in FILES.items():
        changed = changes.get(name.replace(".", "_"), text)
        if changed is not None:
            (folder / name).write_text(changed)
    return folder


def test_what_is_learned_and_what_is_scored(tmp_path: Path) -> None:
    second, first = read_kaldi_folder(write_folder(tmp_path))
    assert (second.key, second.duration_s, second.speakers) == ("r2", 2.0, ("B",))
    assert (first.key, first.path) == ("r1", tmp_path / "sounds/a.wav")
    assert (first.turns, first.reference) == (SEGMENTS, SCORED)
    assert first.speakers == ("A", "B")


def test_one_of_both_is_enough(tmp_path: Path) -> None:
    for name, changes, wanted in (
        ("segments", {"rttm": None, "spk2utt": None}, SEGMENTS),
        ("rttm", {"segments": None, "utt2spk": None}, SCORED),
    ):
        (tmp_path / name).mkdir()
        first = read_kaldi_folder(write_folder(tmp_path / name, **changes))[1]
        assert first.turns == first.reference == wanted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wav_scp": None}, r"no Kaldi folder. Mend: give one with wav\.scp, reco2dur"),
        ({"wav_scp": "r1 sox x.flac -t wav - |\n"}, "1 recordings of wav.scp are commands: r1"),
        ({"wav_scp": "r1 sounds/c.wav\n"}, r"1 of 1 recordings .* missing: .*sounds/c\.wav"),
        ({"wav_scp": "r1\n"}, r"wav\.scp:1: want '<name> <value>'"),
        ({"wav_scp": "r1 sounds/a.wav\nr1 sounds/b.wav\n"}, r"wav\.scp:2: 'r1' stands there twice"),
        ({"reco2dur": "r1 3.5\n"}, r"1 recordings are not in .*reco2dur: r2"),
        ({"reco2dur": "r1 long\nr2 1\n"}, "'r1' lasts 'long': want seconds"),
        ({"segments": None, "rttm": None}, "neither segments nor rttm"),
        ({"segments": "u1 r1 0.5\n"}, r"segments:1: want '<utterance> <recording>"),
        ({"segments": "u1 r1 2 1\n"}, r"segments:1: want '<utterance> <recording>"),
        ({"segments": "u1 r9 0 1\n"}, r"segments:1: .* is not in wav\.scp and utt2spk"),
        ({"segments": "u9 r1 0 1\n"}, r"segments:1: .* is not in wav\.scp and utt2spk"),
        ({"spk2utt": "A u1 u2\nB u3\n"}, "1 utterances of .*: spk2utt and utt2spk differ: u1"),
        ({"rttm": FILES["rttm"].splitlines()[0]}, "1 recordings of .* have no turn: r2"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_kaldi_folder(write_folder(tmp_path, **changes))
