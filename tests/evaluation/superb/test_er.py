"""Proves emotion recognition's reader on small trees in IEMOCAP's layout, with and without lists.

Truth: torch's own random_split, as the toolkit calls it.
"""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import random_split

from avrep.errors import ConfigError
from avrep.evaluation.sound.sound_task import MeasuredPart
from avrep.evaluation.superb.er import EMOTIONS, EmotionRecognition

_TURNS = 10
_LABELS = ("neu", "hap", "exc", "ang", "sad", "fru", "xxx")


def _turns(session: int) -> list[tuple[str, str, str]]:
    """Path, label and dialogue of each turn of a session's two dialogues."""
    found = []
    for dialogue in (f"Ses0{session}F_impro01", f"Ses0{session}M_script02_1"):
        for number in range(_TURNS):
            turn = f"{dialogue}_{'FM'[number % 2]}{number:03d}"
            path = f"Session{session}/sentences/wav/{dialogue}/{turn}.wav"
            found.append((path, _LABELS[(number + session) % len(_LABELS)], dialogue))
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The release: sounds and evaluation files."""
    for session in range(1, 6):
        folder = tmp_path / f"Session{session}/dialog/EmoEvaluation"
        folder.mkdir(parents=True)
        lines: dict[str, list[str]] = {}
        for path, label, dialogue in _turns(session):
            sound = tmp_path / path
            sound.parent.mkdir(parents=True, exist_ok=True)
            sound.touch()
            turn = f"[6.2901 - 8.2357]\t{sound.stem}\t{label}\t[2.5000, 2.5000, 2.5000]"
            lines.setdefault(dialogue, []).append(f"{turn}\nC-E2:\tNeutral;\t()\n")
        for dialogue, told in lines.items():
            head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            (folder / f"{dialogue}.txt").write_text(head + "\n".join(told))
        (folder / "._hidden.txt").write_bytes(b"\x00\xff")
    return tmp_path


def _write_lists(root: Path) -> None:
    """The toolkit's, in an order of their own."""
    four = {"exc": "hap"} | {emotion: emotion for emotion in EMOTIONS}
    for fold in range(1, 6):
        folder = root / f"meta_data/Session{fold}"
        folder.mkdir(parents=True)
        sides: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
        for session in (3, 1, 5, 2, 4):
            side = "test" if session == fold else "train"
            for path, label, dialogue in reversed(_turns(session)):
                if label in four:
                    speaker = dialogue[:6]
                    sides[side].append({"path": path, "label": four[label], "speaker": speaker})
        for side, rows in sides.items():
            labels = {emotion: number for number, emotion in enumerate(EMOTIONS)}
            told = json.dumps({"labels": labels, "meta_data": rows})
            (folder / f"{side}_meta_data.json").write_text(told)


def test_each_session_is_tested_once(root: Path) -> None:
    task = EmotionRecognition(own_data=True)
    assert task.parts() == ("fold 1", "fold 2", "fold 3", "fold 4", "fold 5")
    tested = []
    for number, part in enumerate(task.parts(), start=1):
        data = task.read(root, part)
        keys = [each.recording.key for each in data.test]
        assert all(key.startswith(f"Session{number}/") for key in keys)
        tested += keys
        others = {each.recording.key for each in (*data.train, *data.valid)}
        assert not others & set(keys)
        assert len(data.valid) == len(others) - int(0.8 * len(others))
        assert {each.labels[0] for each in data.train} == set(EMOTIONS)
        assert "other ones are in the validation part" in data.notes[1]
    four = [label for session in range(1, 6) for _, label, _ in _turns(session)]
    assert len(tested) == len(set(tested)) == sum(label not in ("fru", "xxx") for label in four)


def test_speakers_are_those_who_speak_and_excited_is_happy(root: Path) -> None:
    data = EmotionRecognition(own_data=True).read(root, "fold 1")
    told = {each.recording.path.stem: each for each in data.test}
    # Turn 1 of session 1 is of label 2, excited; its speaker is not the one whose dialogue it is.
    spoken = told["Ses01F_impro01_M001"]
    assert (spoken.labels, spoken.recording.speaker) == (("hap",), "Ses01_M")
    assert {each.recording.speaker for each in data.test} == {"Ses01_F", "Ses01_M"}


def test_the_toolkit_s_lists_give_the_toolkit_s_split(root: Path) -> None:
    _write_lists(root)
    task = EmotionRecognition(own_data=True)
    data = task.read(root, "fold 2")
    listed = json.loads((root / "meta_data/Session2/train_meta_data.json").read_text())["meta_data"]
    kept = int((1 - 0.2) * len(listed))
    torch.manual_seed(0)
    train, valid = random_split(listed, [kept, len(listed) - kept])
    assert [each.recording.key for each in data.train] == [row["path"] for row in train]
    assert [each.recording.key for each in data.valid] == [row["path"] for row in valid]
    assert len(data.notes) == 1


def test_the_figure_is_the_mean_of_the_folds(root: Path, tmp_path: Path) -> None:
    task = EmotionRecognition(own_data=True)
    tested = []
    shares = []
    for number, part in enumerate(task.parts()):
        data = task.read(root, part)
        right = [index % 5 <= number for index in range(len(data.test))]
        told = [each.labels if ok else ("none",) for each, ok in zip(data.test, right, strict=True)]
        tested.append(MeasuredPart(data=data, predictions=tuple(told)))
        shares.append(sum(right) / len(right))
        (path,) = task.write_outputs(tmp_path, data, told)
        assert path.name == f"test_fold{number + 1}_predict.txt"
        assert len(path.read_text().splitlines()) == len(data.test)
    acc, *_ = task.metrics_over_parts(tested, seed=0)
    assert acc.value == pytest.approx(sum(shares) / 5)
    assert acc.num_clusters == 10
    assert acc.num_items == sum(len(each.data.test) for each in tested)


def test_what_is_missing_is_told_with_the_tree(root: Path) -> None:
    def refused(fault: str, *, own_data: bool = True) -> None:
        with pytest.raises(ConfigError, match=fault):
            EmotionRecognition(own_data=own_data).read(root, "fold 1")

    refused(r"test utterances of fold 1 \(officially 1085\)", own_data=False)
    (root / "Session3/sentences/wav/Ses03F_impro01/Ses03F_impro01_F000.wav").unlink()
    refused(r"1 missing: Session3/sentences/wav/.*F000\.wav(.|\n)*dialog/EmoEvaluation")
    _write_lists(root)
    path = root / "meta_data/Session1/train_meta_data.json"
    path.write_text(path.read_text().replace('"neu"', '"fru"'))
    refused(r"is no list of utterances: ValueError: .* has the label 'fru', not one of neu")
    path.unlink()
    refused(r"1 missing: meta_data/Session1/train_meta_data\.json")
