"""Proves that VoxCeleb1's layout is read right, that faults are refused by name, and that speakers are
held out whole.
"""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.superb import voxceleb1_trials
from avrep.evaluation.superb.held_out_speakers import hold_out_speakers
from avrep.evaluation.superb.voxceleb1_trials import (
    Trial,
    compared,
    read_voxceleb1_trials,
)

TRIALS = (
    "1 id10270/aa/00001.wav id10270/bb/00001.wav\n0 id10271/aa/00001.wav id10270/aa/00001.wav\n"
)


def write_tree(root: Path, *, parts: bool = True, trials: str = TRIALS) -> Path:
    train, test = ("dev/wav", "test/wav") if parts else ("wav", "wav")
    for name in ("id10001/cc/00001.wav", "id10002/cc/00002.wav", "id10002/dd/00001.wav"):
        (root / train / name).parent.mkdir(parents=True, exist_ok=True)
        (root / train / name).touch()
    for name in ("id10270/aa/00001.wav", "id10270/bb/00001.wav", "id10271/aa/00001.wav"):
        (root / test / name).parent.mkdir(parents=True, exist_ok=True)
        (root / test / name).touch()
    (root / "voxceleb1_test_v2.txt").write_text(trials)
    return root


@pytest.mark.parametrize("parts", [True, False])
def test_the_official_layout(tmp_path: Path, parts: bool) -> None:
    corpus = read_voxceleb1_trials(write_tree(tmp_path, parts=parts), own_data=True)
    assert [(each.key, each.speaker) for each in corpus.train] == [
        ("id10001-cc-00001", "id10001"),
        ("id10002-cc-00002", "id10002"),
        ("id10002-dd-00001", "id10002"),
    ]
    assert [each.key for each in corpus.test] == [
        "id10270-aa-00001",
        "id10270-bb-00001",
        "id10271-aa-00001",
    ]
    assert all(each.path.is_file() for each in (*corpus.train, *corpus.test))
    assert corpus.trials == (
        Trial(first="id10270-aa-00001", second="id10270-bb-00001", is_target=True),
        Trial(first="id10271-aa-00001", second="id10270-aa-00001", is_target=False),
    )
    assert "2 training speakers (officially 1211)" in corpus.notes[0]
    assert "2 trials (officially 37720)" in corpus.notes[0]
    with pytest.raises(ConfigError, match=r"is not VoxCeleb1 .*: it has 2 training .* --own-data"):
        read_voxceleb1_trials(tmp_path)


def test_the_data_sets_own_list(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "voxceleb1_test_v2.txt").rename(tmp_path / "veri_test.txt")
    assert len(read_voxceleb1_trials(tmp_path, own_data=True).trials) == 2


def test_examples_carry_their_trials(tmp_path: Path) -> None:
    corpus = read_voxceleb1_trials(write_tree(tmp_path), own_data=True)
    examples = compared(corpus.test, corpus.trials)
    assert [[number for number, _ in each.trials] for each in examples] == [[0], [], [1]]


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (TRIALS + "2 a/b/c.wav d/e/f.wav", r"v2\.txt:3: want '<1 or 0> <wav> <wav>'"),
        (TRIALS + "0 a/b/c.wav", r"v2\.txt:3: want '<1 or 0> <wav> <wav>'"),
        (TRIALS + "0 a/b/../c.wav d/e/f.wav", r"v2\.txt:3: want <speaker>/<video>"),
        (TRIALS.replace("0 id", "1 id"), r"v2\.txt:2: says 1, but the speakers"),
        (TRIALS.splitlines()[0], r"trials of one speaker and trials of two"),
        (TRIALS.replace("bb/00001", "bb/00007"), r"1 of 3 recordings .* missing: id10270/bb/00007"),
    ],
)
def test_a_faulty_list_is_refused(tmp_path: Path, trials: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_voxceleb1_trials(write_tree(tmp_path, trials=trials))


def test_a_misplaced_or_leaking_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not VoxCeleb1 .*: there are no recordings"):
        read_voxceleb1_trials(tmp_path)
    write_tree(tmp_path)
    (tmp_path / "dev/wav/id10271/aa").mkdir(parents=True)
    (tmp_path / "dev/wav/id10271/aa/00009.wav").touch()
    with pytest.raises(ConfigError, match="speakers are both in dev and in trials: id10271"):
        read_voxceleb1_trials(tmp_path)


def recordings(num_speakers: int, num_each: int) -> list[Recording]:
    return [
        Recording(key=f"s{speaker:03}-{number}", path=Path("x.wav"), speaker=f"s{speaker:03}")
        for speaker in range(num_speakers)
        for number in range(num_each)
    ]


def test_speakers_are_held_out_whole() -> None:
    everyone = recordings(60, 5)
    train, valid, trials = hold_out_speakers(everyone, num_trials=60)
    held = {each.speaker for each in valid}
    assert len(held) == 6
    assert not held & {each.speaker for each in train}
    assert len(train) == 54 * 5
    keys = {each.key: each.speaker for each in valid}
    pairs = {frozenset((trial.first, trial.second)) for trial in trials}
    assert len(pairs) == len(trials) == 60
    assert sum(trial.is_target for trial in trials) == 30
    for trial in trials:
        assert trial.first != trial.second
        assert trial.is_target == (keys[trial.first] == keys[trial.second])
    assert {key for pair in pairs for key in pair} == keys.keys()
    assert hold_out_speakers(everyone, num_trials=60) == (train, valid, trials)


def test_few_pairs_are_all_there_are() -> None:
    _, _, trials = hold_out_speakers(recordings(5, 2))
    # Two speakers with two recordings each.
    assert [trial.is_target for trial in trials] == [True] * 2 + [False] * 4
    with pytest.raises(ConfigError, match="3 training speakers: holding 2 out"):
        hold_out_speakers(recordings(3, 5))
    with pytest.raises(ConfigError, match="no held-out speaker has two recordings"):
        hold_out_speakers(recordings(5, 1))


def test_both_official_lists_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path)
    official = {"training speakers": 2, "training utterances": 3, "trials": 7}
    monkeypatch.setattr(voxceleb1_trials, "_OFFICIAL", official)
    with pytest.raises(ConfigError, match=r"VoxCeleb1 .*: it has 2 trials \(officially 7\)"):
        read_voxceleb1_trials(tmp_path)
    monkeypatch.setattr(voxceleb1_trials, "_CLEANED_TRIALS", 2)
    assert read_voxceleb1_trials(tmp_path).notes == ()
