"""Proves PR, ASR and SF as tasks: what they read from small trees in the official layouts, what they
score and write of given predictions, and (slowly) that each learns tones that stand for its tokens.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.errors import ConfigError
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.superb import audio_snips, librispeech
from avrep.evaluation.superb.asr import SpeechRecognition
from avrep.evaluation.superb.ctc_head import LinearCtc, RecurrentCtc, RecurrentHeadConfig, Spelling
from avrep.evaluation.superb.lexicon_decoder import LexiconDecoderConfig
from avrep.evaluation.superb.pr import PhoneRecognition
from avrep.evaluation.superb.pronunciations import phones_of, read_pronunciations
from avrep.evaluation.superb.sf import SlotFilling
from avrep.evaluation.superb.spoken_examples import SpokenExample
from avrep.evaluation.superb.vocabulary import CHARACTERS, LETTERS, PHONES, slot_vocabulary
from tests.evaluation.superb.small_trees import (
    Sound,
    tones,
    write_lexicons,
    write_librispeech,
    write_snips,
)
from tests.evaluation.superb.sound_stubs import Mel, remembered

TEXTS = {
    "train-clean-100": {"103-1-0000": "HELLO WORLD", "103-1-0001": "A", "27-1-0000": "WORLD A"},
    "dev-clean": {"84-1-0000": "HELLO"},
    "test-clean": {"61-1-0000": "HELLO A", "89-1-0000": "A WORLD"},
}
SNIPS = {
    "Ivy-snips-train-0": "PLAY ADELE\tO artist PlayMusic",
    "Joey-snips-train-0": "PLAY HELLO NOW\tO album O PlayMusic",
    "Amy-snips-valid-0": "PLAY ADELE\tO artist PlayMusic",
    "Brian-snips-test-0": "PLAY ÉLAN\tO artist PlayMusic",
    "Emma-snips-test-0": "HELLO\talbum PlayMusic",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    write_lexicons(root)
    write_librispeech(root, TEXTS)
    return write_snips(root, SNIPS)


def spelt(*texts: tuple[str, ...]) -> list[Spelling]:
    return [Spelling(symbols=symbols, log_probs=None) for symbols in texts]


def keys(data: SoundData[SpokenExample]) -> list[list[str]]:
    return [[each.recording.key for each in side] for side in (data.train, data.valid, data.test)]


def test_phone_recognition(root: Path, tmp_path: Path) -> None:
    task = PhoneRecognition(own_data=True)
    data = task.read(root, "")
    assert keys(data) == [list(side) for side in TEXTS.values()]
    assert data.train[0].text == "HH AH0 L OW1 W ER1 L D"
    assert data.train[0].target == PHONES.target(["HH", "AH0", "L", "OW1", "W", "ER1", "L", "D"])
    assert [each.num_samples for each in data.train] == [3200, 3360, 3520]
    assert data.name == root.name
    assert data.facts.other_lists
    assert data.notes[-1] == (
        "not the official LibriSpeech but other data in its layout: 3 utterances of train-clean-100 "
        "(officially 28539), 1 utterances of dev-clean (officially 2703), 2 utterances of test-clean "
        "(officially 2620)"
    )
    assert isinstance(task.build_head(7, data), LinearCtc)
    plan = task.plan(data, task.recipe.model_copy(update={"batch_size": 2}), 0)
    assert sorted(plan(number) for number in range(3)) == [(0, 2), (2, 1), (2, 1)]
    found = spelt(("HH", "AH0", "L", "AH0"), ("AH0", "W", "ER1", "L", "D", "D"))
    (per,) = task.metrics(data.test, found, seed=0)
    assert (per.name, per.value, per.num_items, per.num_clusters) == ("per", 2 / 10, 2, 2)
    assert task.selection(data.test, found) == -0.2
    paths = task.write_outputs(tmp_path, data, found)
    assert [path.name for path in paths] == ["test-hyp.ark", "test-ref.ark"]
    assert paths[0].read_text() == "61-1-0000 HH AH0 L AH0\n89-1-0000 AH0 W ER1 L D D\n"
    assert paths[1].read_text() == "61-1-0000 HH AH0 L OW1 AH0\n89-1-0000 AH0 W ER1 L D\n"


def test_speech_recognition(root: Path, tmp_path: Path) -> None:
    task = SpeechRecognition(own_data=True)
    data = task.read(root, "")
    assert data.name == root.name
    assert data.facts.other_lists
    assert data.train[0].target == CHARACTERS.target("HELLO|WORLD|")
    head = task.build_head(7, data)
    assert isinstance(head, RecurrentCtc)
    assert head.augment is not None
    plan = task.plan(data, task.recipe.model_copy(update={"batch_size": 2}), 0)
    assert sorted(plan(number) for number in range(2)) == [(1,), (2,)]
    found = spelt(tuple("HELLO|B|"), ())
    wer, cer = task.metrics(data.test, found, seed=0)
    assert (wer.name, wer.value) == ("wer", 3 / 4)
    assert (cer.name, cer.value) == ("cer", (1 + 7) / (7 + 7))
    assert task.selection(data.test, found) == -0.75
    paths = task.write_outputs(tmp_path, data, found)
    assert [path.name for path in paths] == [
        "test-clean-noLM-hyp.ark",
        "test-clean-noLM-ref.ark",
    ]
    assert paths[0].read_text() == "61-1-0000 HELLO B\n89-1-0000 \n"
    assert paths[1].read_text() == "61-1-0000 HELLO A\n89-1-0000 A WORLD\n"


def test_other_heads_are_told(root: Path) -> None:
    assert not any("head" in note for note in SpeechRecognition(own_data=True).read(root, "").notes)
    head = RecurrentHeadConfig(hidden_width=64, augment=None)
    told = 'the head is not the published one: {"hidden_width":64,"augment":null}'
    assert told in SpeechRecognition(head=head, own_data=True).read(root, "").notes
    assert told in SlotFilling(head=head, own_data=True).read(root, "").notes


@pytest.mark.parametrize("kind", [SpeechRecognition, SlotFilling])
def test_a_head_of_another_config_is_trained_anew(
    root: Path, tmp_path: Path, kind: type[SpeechRecognition] | type[SlotFilling]
) -> None:
    recipe = HeadRecipe(lr=1e-3, batch_size=2, num_steps=2, eval_every=2)
    # The last is the first again.
    for number, dropout in enumerate((0.2, 0.5, 0.2)):
        head = RecurrentHeadConfig(hidden_width=8, dropout=dropout, augment=None)
        run_sound_task(kind(head=head, own_data=True), Mel(), root, tmp_path, recipe=recipe)
        assert len([*tmp_path.rglob("head.safetensors")]) == (1, 2, 2)[number]


def test_speech_recognition_with_a_lexicon(root: Path, tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.lst"
    task = SpeechRecognition(own_data=True, decoder=LexiconDecoderConfig(lexicon=lexicon))
    with pytest.raises(ConfigError, match=r"no file .*lexicon.lst"):
        task.read(root, "")
    lexicon.write_text("HELLO\tH E L L O |\nA\tA |\nWORLD\tW O R L D |\n")
    data = task.read(root, "")
    assert data.notes[1] == (
        "wer_lm: words of lexicon.lst, no language model, beam 5, threshold 25, LM weight 2, "
        "word score -1, silence 0"
    )
    assert task.build_head(7, data).keep_log_probs
    frames = "H*EL*LX|*A|", "A|WORLDS|"
    found = []
    for text in frames:
        tokens = [0 if mark == "*" else CHARACTERS.target(mark)[0] for mark in text]
        logits = 8 * torch.eye(len(CHARACTERS))[tokens]
        symbols = CHARACTERS.read([token for token in tokens if token])
        found.append(Spelling(symbols=symbols, log_probs=logits.log_softmax(-1)))
    metrics = {each.name: each.value for each in task.metrics(data.test, found, seed=0)}
    assert metrics == {"wer": 2 / 4, "cer": 2 / 14, "wer_lm": 0.0}
    paths = {path.name: path.read_text() for path in task.write_outputs(tmp_path, data, found)}
    assert paths["test-clean-noLM-hyp.ark"] == "61-1-0000 HELLX A\n89-1-0000 A WORLDS\n"
    assert paths["test-clean-LM-hyp.ark"] == "61-1-0000 HELLO A\n89-1-0000 A WORLD\n"


def test_slot_filling(root: Path, tmp_path: Path) -> None:
    task = SlotFilling(own_data=True)
    data = task.read(root, "")
    assert data.name == root.name
    assert data.facts.other_lists
    assert data.notes[-1] == (
        "not the official Audio SNIPS but other data in its layout: 2 sentences of train (officially "
        "104672), 1 sentences of valid (officially 2800), 2 sentences of test (officially 2800)"
    )
    assert [len(side) for side in keys(data)] == [2, 1, 2]
    assert data.train[1].text == "PLAY B-album HELLO E-album NOW"
    assert data.test[0].text == "PLAY B-artist <unk>LAN E-artist"
    vocabulary = slot_vocabulary(("artist", "album"))
    assert data.train[0].target == vocabulary.target((*"PLAY ", "B-artist", *"ADELE", "E-artist"))
    assert task.build_head(7, data).classify.out_features == len(vocabulary) == 35
    found = spelt((*"PLAY ", "B-artist", *"ELAN", "E-artist"), tuple("HELLO"))
    f1, cer = task.metrics(data.test, found, seed=0)
    assert (f1.name, f1.value, f1.higher_is_better) == ("slot_type_f1", 0.5, True)
    assert (cer.name, cer.value, cer.higher_is_better) == ("slot_value_cer", 10 / 13, False)
    assert task.selection(data.test, found) == 0.5
    paths = task.write_outputs(tmp_path, data, found)
    assert [path.name for path in paths] == ["test-hyp.ark", "test-ref.ark"]
    assert paths[0].read_text().splitlines()[0] == (
        "Brian-snips-test-0 PLAY B-artist ELAN E-artist"
    )


@pytest.mark.parametrize(
    ("task", "rates"),
    [
        (PhoneRecognition(), (1e-2, 16, 2, 100_000, 1000)),
        (SpeechRecognition(), (1e-4, 32, 1, 200_000, 2000)),
        (SlotFilling(), (1e-4, 32, 1, 200_000, 2000)),
    ],
)
def test_published_recipes(
    task: PhoneRecognition | SpeechRecognition | SlotFilling, rates: tuple[float, ...]
) -> None:
    r = task.recipe
    assert (r.lr, r.batch_size, r.num_accumulated, r.num_steps, r.eval_every) == rates
    assert (r.optimizer, r.max_grad_norm, r.crop_samples) == ("adam", 1.0, None)


@pytest.mark.slow
def test_phones_are_learnt(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = read_pronunciations(write_lexicons(tmp_path))

    def sound_of(text: str) -> Sound:
        (phones,) = phones_of([text], words)
        places = sorted({phone for spoken in words.values() for phone in spoken})
        return tones([places.index(phone) for phone in phones])

    texts = {
        part: {
            f"{speaker}-1-{number:04d}": " ".join(rng.choice(sorted(words), rng.integers(1, 4)))
            for number in range(num)
        }
        for speaker, (part, num) in enumerate(
            (("train-clean-100", 40), ("dev-clean", 8), ("test-clean", 8))
        )
    }
    write_librispeech(tmp_path, texts, sound_of)
    recipe = HeadRecipe(lr=1e-2, batch_size=8, num_accumulated=2, num_steps=60, eval_every=30)
    (result,) = run_sound_task(
        PhoneRecognition(own_data=True),
        Mel(),
        tmp_path,
        tmp_path / "out",
        recipe=recipe,
        open_states=remembered,
    )
    assert result.metrics[0].value < 0.1
    assert (tmp_path / "out/test-hyp.ark").is_file()


@pytest.mark.slow
def test_slots_are_learnt(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = {}
    for speaker, part, num in (("Ivy", "train", 64), ("Amy", "valid", 8), ("Emma", "test", 8)):
        for number in range(num):
            slot, names = [("artist", ("ADELE", "MOBY")), ("album", ("BLUE", "KIND"))][number % 2]
            words, kinds = ["PLAY", str(rng.choice(names))], ["O", slot]
            if rng.random() < 0.5:
                words, kinds = [*words, "NOW"], [*kinds, "O"]
            line = f"{' '.join(words)}\t{' '.join(kinds)} PlayMusic"
            lines[f"{speaker}-snips-{part}-{number}"] = line
    write_snips(tmp_path, lines, lambda words: tones([LETTERS.index(letter) for letter in words]))
    (result,) = run_sound_task(
        SlotFilling(head=RecurrentHeadConfig(hidden_width=48, augment=None), own_data=True),
        Mel(),
        tmp_path,
        tmp_path / "out",
        recipe=HeadRecipe(lr=1e-2, batch_size=8, num_steps=120, eval_every=40),
        open_states=remembered,
    )
    scores = {metric.name: metric.value for metric in result.metrics}
    assert scores["slot_type_f1"] > 0.9
    assert scores["slot_value_cer"] < 0.1


def test_the_official_numbers_are_not_told_as_other_data(root: Path) -> None:
    speech = {"train-clean-100": 28_539, "dev-clean": 2703, "test-clean": 2620}
    assert librispeech.other_data_notes(root, speech) == ()
    slots = {"train": 8 * 13_084, "valid": 4 * 700, "test": 4 * 700}
    assert audio_snips.other_data_notes(root, slots) == ()
    (note,) = audio_snips.other_data_notes(root, slots | {"valid": 9})
    assert note.endswith("in its layout: 9 sentences of valid (officially 2800)")
