"""Proves keyword spotting's reader on a small tree in the archives' layout, and its rules.

Truth: the data set's page gives the rule for speakers; shares of many names follow from it.
"""

from collections import Counter
from pathlib import Path

import pytest
import torch

from avrep.errors import ConfigError
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.recordings import read_wave
from avrep.evaluation.superb.ks import CLASSES, WORDS, KeywordSpotting, side_of
from tests.small_sounds import tone, write_wav

_TRAIN, _TEST = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
_SPEAKERS = [f"{number:08x}" for number in range(30)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of 30 speakers says each of 12 words once; two noises; two test sounds of each class."""
    folder = tmp_path_factory.mktemp("speech_commands")
    for word in (*WORDS, "bed", "zero"):
        for speaker in _SPEAKERS:
            path = folder / _TRAIN / word / f"{speaker}_nohash_0.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for name, pitch_hz in (("hum", 100), ("whine", 900)):
        write_wav(folder / _TRAIN / "_background_noise_" / f"{name}.wav", tone(pitch_hz, 3.5))
    (folder / _TRAIN / "_background_noise_" / "README.md").write_text("not a sound")
    for name in CLASSES:
        for speaker in ("aa", "bb"):
            path = folder / _TEST / name / f"{speaker}_nohash_1.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


def test_a_speaker_is_on_one_side_and_one_in_ten_is_held_out() -> None:
    sides = Counter(side_of(f"{number:08x}_nohash_0.wav") for number in range(20_000))
    # Binomial: five deviations.
    assert abs(sides["valid"] - 2_000) < 215
    assert abs(sides["dropped"] - 2_000) < 215
    assert side_of("0137b3f4_nohash_0.wav") == side_of("0137b3f4_nohash_4.wav")


def test_the_rule_is_the_page_s() -> None:
    """By hand: the SHA-1 of "a" is 86f7...377667b8, whose last 27 bits are 93 % of the way."""
    digest = 0x86F7E437FAA5A7FCE15D1DDCB9EAEAEA377667B8
    assert (digest & (2**27 - 1)) / (2**27 - 1) == pytest.approx(0.933, abs=1e-3)
    assert side_of("a_nohash_0.wav") == "train"


def test_the_parts_are_read_as_the_toolkit_reads_them(root: Path) -> None:
    data = KeywordSpotting(own_data=True).read(root, "")
    sides = Counter(side_of(speaker) for speaker in _SPEAKERS)
    assert len(data.train) == 12 * sides["train"] + 2
    assert len(data.test) == 24
    labels = Counter(each.labels[0] for each in data.train)
    assert labels["_unknown_"] == 2 * sides["train"]
    assert labels["_silence_"] == 2
    assert labels["yes"] == sides["train"]
    valid = Counter(each.labels[0] for each in data.valid)
    # As many seconds of silence as a word has examples on average.
    assert valid["_silence_"] == valid["yes"] == sides["valid"] > 0
    assert {each.recording.speaker for each in data.train if each.labels == ("up",)} == {
        speaker for speaker in _SPEAKERS if side_of(speaker) == "train"
    }
    assert data.name == root.name
    assert data.facts.other_lists
    assert (
        "36 training words (officially 51088)" in data.notes[0] or "training words" in data.notes[0]
    )
    keys = [each.recording.key for each in (*data.train, *data.valid)]
    assert len(set(keys)) == len(keys)


def test_silence_to_choose_on_is_seconds_of_noise_the_same_each_time(root: Path) -> None:
    first, again = (KeywordSpotting(own_data=True).read(root, "") for _ in range(2))
    silences = [each.recording for each in first.valid if each.labels == ("_silence_",)]
    assert silences == [each.recording for each in again.valid if each.labels == ("_silence_",)]
    for silence in silences:
        whole = read_wave(silence)
        assert len(whole) == 16_000
        pitch_hz = int(torch.fft.rfft(whole).abs().argmax())
        assert pitch_hz == (100 if "hum" in silence.key else 900)
    assert len({silence.start_s for silence in silences}) == len(silences)


def test_training_cuts_a_second_of_noise_and_no_word() -> None:
    assert KeywordSpotting.recipe == HeadRecipe(
        lr=1e-4, batch_size=32, num_steps=200_000, eval_every=5_000, crop_samples=16_000
    )


def test_sounds_are_made_3_db_quieter() -> None:
    task = KeywordSpotting()
    power = task.prepare(torch.ones(4)).square()
    torch.testing.assert_close(10 * power.log10(), torch.full((4,), -3.0))
    assert task.prepared == "superb/ks 1"


def test_batches_hold_classes_evenly_and_so_does_what_is_chosen_on(root: Path) -> None:
    task = KeywordSpotting(own_data=True)
    data = task.read(root, "")
    plan = task.plan(data, task.recipe, seed=0)
    drawn = Counter(data.train[index].labels[0] for n in range(100) for index in plan(n))
    # 3,200 draws of 12 classes: five deviations.
    assert max(abs(count - 3200 / 12) for count in drawn.values()) < 80
    unknown_right = [("_unknown_",) for _ in data.valid]
    assert task.selection(data.valid, unknown_right) == pytest.approx(1 / 12)


def test_predictions_are_written_for_superb_s_tools(root: Path, tmp_path: Path) -> None:
    task = KeywordSpotting(own_data=True)
    data = task.read(root, "")
    (path,) = task.write_outputs(tmp_path, data, [("go",) for _ in data.test])
    assert path.name == "test_predict.txt"
    lines = path.read_text().splitlines()
    assert len(lines) == 24
    assert "yes-aa_nohash_1.wav go" in lines


def test_what_is_missing_is_told_with_the_tree(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"23 missing: speech_commands_v0\.01/yes") as told:
        KeywordSpotting().read(tmp_path, "")
    assert "speech_commands_test_set_v0.01/" in str(told.value)
    with pytest.raises(ConfigError, match=r"24 test sounds \(officially 3081\).*--own-data"):
        KeywordSpotting().read(root, "")
