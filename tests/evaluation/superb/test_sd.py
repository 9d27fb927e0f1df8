"""Proves diarization end to end on small voices: stretches, labels, selection, the choice of the
binarising on dev or on the test, and the files.
"""

import itertools
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.signal import medfilt
from torch import Tensor

from avrep.errors import ConfigError
from avrep.evaluation.diarization import DiarizationErrors
from avrep.evaluation.rttm import read_rttm
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.superb import sd
from avrep.evaluation.superb.diarization_head import (
    DiarizationExample,
    DiarizationHead,
    example_labels,
)
from avrep.evaluation.superb.sd import SpeakerDiarization, diarization_metrics, likelihoods
from avrep.models.seeded import seeded
from tests.evaluation.superb.voices import Bands, voice, write_sound

RECIPE = HeadRecipe(lr=3e-3, batch_size=4, num_accumulated=1, num_steps=16, eval_every=8)
TASK = SpeakerDiarization(own_data=True)


def write_part(folder: Path, num_recordings: int, seed: int) -> None:
    """Recordings of 2 s: voice 1 from the start, voice 5 to the end, both in between."""
    rng = np.random.default_rng(seed)
    files = dict.fromkeys(("wav.scp", "reco2dur", "segments", "utt2spk", "rttm"), "")
    for number in range(num_recordings):
        key = f"r{number}"
        first_end_s, second_start_s = rng.integers(55, 80) / 50, rng.integers(20, 45) / 50
        sound = np.zeros(32_000)
        for name, start_s, end_s in (("A", 0, first_end_s), ("B", second_start_s, 2)):
            span = slice(int(start_s * 16_000), int(end_s * 16_000))
            sound[span] += voice({"A": 1, "B": 5}[name], 32_000, seed=number)[span]
            files["segments"] += f"{key}{name} {key} {start_s} {end_s}\n"
            files["utt2spk"] += f"{key}{name} {name}\n"
            files["rttm"] += f"SPEAKER {key} 1 {start_s} {end_s - start_s} <NA> <NA> {name}\n"
        write_sound(folder / f"{key}.wav", sound)
        files["wav.scp"] += f"{key} {key}.wav\n"
        files["reco2dur"] += f"{key} 2.0\n"
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("libri2mix")
    for seed, (part, num) in enumerate((("train", 8), ("dev", 4), ("test", 5))):
        (root / part).mkdir()
        write_part(root / part, num, seed)
    return root


@pytest.fixture(scope="module")
def data(tree: Path) -> SoundData[DiarizationExample]:
    return TASK.read(tree, "")


def right_logits(examples: tuple[DiarizationExample, ...]) -> list[Tensor]:
    return [20 * example_labels(example, 0.02, 2).flip(1) - 10 for example in examples]


def test_the_recipe_is_the_published_one() -> None:
    recipe = SpeakerDiarization.recipe
    assert (recipe.optimizer, recipe.lr, recipe.batch_size) == ("adam", 1e-4, 8)
    assert (recipe.num_accumulated, recipe.num_steps, recipe.eval_every) == (4, 30_000, 500)
    assert sd.CHUNK_FRAMES == 2000


def test_long_recordings_are_cut_into_stretches(
    tree: Path, data: SoundData[DiarizationExample], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [example.frames for example in data.test] == [range(100)] * 5
    monkeypatch.setattr(sd, "CHUNK_FRAMES", 40)
    cut = TASK.read(tree, "").test
    assert [example.frames for example in cut[:3]] == [range(40), range(40, 80), range(80, 100)]
    assert [example.recording.key for example in cut[:3]] == ["r0#0", "r0#40", "r0#80"]
    assert (cut[1].recording.start_s, cut[1].recording.end_s) == pytest.approx((0.8, 1.6))
    joined = torch.cat([example_labels(example, 0.02, 2) for example in cut[:3]])
    torch.testing.assert_close(joined, example_labels(data.test[0], 0.02, 2))
    # Whole again in whatever order the stretches come.
    found = likelihoods(cut[::-1], right_logits(cut)[::-1])
    assert [len(frames) for frames in found.values()] == [100] * 5
    np.testing.assert_array_equal(found["r0"] > 0.5, joined.flip(1).numpy() > 0.5)


def test_the_data_are_the_same_for_encoders_of_all_rates(
    tree: Path, data: SoundData[DiarizationExample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sd, "CHUNK_FRAMES", 150)
    fast = TASK.at_rate(160).read(tree, "")
    assert [len(each.test) for each in (data, fast)] == [5, 10]
    assert fast.facts == data.facts
    assert (fast.facts.num_train, fast.facts.num_valid, fast.facts.num_test) == (8, 4, 5)


def test_a_head_is_one_of_its_turns_and_stretches(tree: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"num_steps": 2, "eval_every": 2})

    def num_heads(root: Path) -> int:
        run_sound_task(TASK, Bands(), root, tmp_path / "out", recipe=recipe)
        return len([*tmp_path.rglob("head.safetensors")])

    assert [num_heads(tree), num_heads(tree)] == [1, 1]
    other = shutil.copytree(tree, tmp_path / tree.name)
    assert num_heads(other) == 1
    # What is learnt from, not what is scored against.
    segments = (other / "train/segments").read_text().replace("r0A r0 0 ", "r0A r0 0.1 ")
    (other / "train/segments").write_text(segments)
    assert TASK.read(other, "").facts.digest != TASK.read(tree, "").facts.digest
    assert num_heads(other) == 2
    (other / "dev/reco2dur").write_text((other / "dev/reco2dur").read_text().replace("2.0", "1.9"))
    assert num_heads(other) == 3


def test_who_is_right_is_right(data: SoundData[DiarizationExample]) -> None:
    logits = right_logits(data.test)
    assert TASK.selection(data.test, logits) == 1
    der, miss, false_alarm, confusion = TASK.binarised_for(data.test, logits).metrics(
        data.test, logits, seed=0
    )
    assert [metric.name for metric in (der, miss, false_alarm, confusion)] == [
        "der",
        "miss",
        "false_alarm",
        "confusion",
    ]
    assert der.value == pytest.approx(0, abs=1e-9)
    assert not der.higher_is_better
    # Silent throughout: all is missed, and the frames of neither are right.
    silent = [torch.full_like(each, -1.0) for each in logits]
    found = TASK.binarised_for(data.test, silent).metrics(data.test, silent, seed=0)
    assert [metric.value for metric in found[:2]] == pytest.approx([1, 1])
    with pytest.raises(ConfigError, match="no binarising is chosen"):
        TASK.metrics(data.test, logits, seed=0)


def test_intervals_are_over_speakers() -> None:
    # Of twelve who speak with each other, three are never heard: whoever is drawn decides the rate.
    names = [f"s{number:02}" for number in range(12)]
    pairs = [pair for pair in itertools.combinations(names, 2) for _ in range(20)]

    def missed(pair: tuple[str, str]) -> DiarizationErrors:
        lost_s = 5.0 * sum(name < "s03" for name in pair)
        return DiarizationErrors(speech_s=10.0, miss_s=lost_s, false_alarm_s=0, confusion_s=0)

    errors = [missed(pair) for pair in pairs]
    der, *_ = diarization_metrics(errors, pairs, seed=0)
    assert (der.value, der.num_items, der.num_clusters) == (0.25, 1320, 12)
    # By a loop: who is drawn c times is in c copies of the corpus, on either side.
    draws, rates = np.random.default_rng(1), []
    for _ in range(1000):
        times = Counter(draws.choice(names, 12).tolist())
        both = [times[one] * times[other] for one, other in pairs]
        lost = sum(n * each.miss_s for n, each in zip(both, errors, strict=True))
        rates.append(lost / (10.0 * sum(both)))
    wanted = np.quantile(rates, [0.025, 0.975])
    assert [der.ci_low, der.ci_high] == pytest.approx(wanted.tolist(), abs=0.03)
    assert der.ci_high - der.ci_low > 0.4
    # As many recordings of people who are in one each are independent.
    alone = [(f"{number}a", f"{number}b") for number in range(len(pairs))]
    der, *_ = diarization_metrics(errors, alone, seed=0)
    assert (der.value, der.num_clusters) == (0.25, 1320)
    assert der.ci_high - der.ci_low < 0.05


def test_frames_that_are_missing_are_the_last_one(data: SoundData[DiarizationExample]) -> None:
    with seeded(0, "head"):
        head = DiarizationHead(13, 0.02)
    states = Bands().hidden_states([torch.randn(32_000) for _ in range(2)]).states[1]
    examples = data.test[:2]
    whole = head.predict(states, torch.tensor([100, 98]), examples)
    assert [each.shape for each in whole] == [(100, 2), (100, 2)]
    filled = states.clone()
    filled[1, 98:] = states[1, 97]
    wanted = head.predict(filled, torch.tensor([100, 100]), examples)
    torch.testing.assert_close(whole[1], wanted[1])
    loss = head.loss(states, torch.tensor([100, 98]), examples)
    torch.testing.assert_close(loss, head.loss(filled, torch.tensor([100, 100]), examples))


@pytest.mark.slow
def test_from_sounds_to_a_result(tree: Path, tmp_path: Path) -> None:
    (result,) = run_sound_task(TASK, Bands(), tree, tmp_path, recipe=RECIPE)
    assert result.metrics[0].value < 0.3
    assert result.notes[0].startswith("threshold and median filter chosen on dev")
    threshold, frames = result.settings["threshold"], result.settings["median_frames"]
    turns = read_rttm(tmp_path / f"scoring/hyp_{threshold:g}_{frames}.rttm")
    assert set(turns) == {f"r{number}" for number in range(5)}
    assert (tmp_path / "frame_shift").read_text() == "320\n"
    for recording, own in turns.items():
        with h5py.File(tmp_path / f"scoring/predictions/{recording}.h5") as file:
            frames_said = np.asarray(file["T_hat"])
        assert frames_said.dtype == np.float32
        assert ((frames_said >= 0) & (frames_said <= 1)).all()
        # As the toolkit's script makes turns of it: above the threshold, by the median of a stretch.
        speaks = medfilt((frames_said > threshold).astype(float), (frames, 1)).sum() * 0.02
        assert speaks == pytest.approx(sum(turn.end_s - turn.start_s for turn in own))
    # The same head, the binarising chosen on the test: never worse there.
    public = replace(TASK, select_on="test")
    (found,) = run_sound_task(public, Bands(), tree, tmp_path, recipe=RECIPE)
    assert found.notes[0].startswith("CHOSEN ON THE TEST")
    assert found.settings["chosen_step"] == result.settings["chosen_step"]
    assert found.metrics[0].value <= result.metrics[0].value + 1e-9


def test_a_misplaced_or_crowded_corpus_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not Libri2Mix .*: there is no folder train"):
        TASK.read(tmp_path, "")
    for part in ("train", "dev", "test"):
        (tmp_path / part).mkdir()
        write_part(tmp_path / part, 1, 0)
    with (tmp_path / "dev/utt2spk").open("a") as speakers:
        speakers.write("extra C\n")
    with (tmp_path / "dev/segments").open("a") as segments:
        segments.write("extra r0 0.5 0.6\n")
    with pytest.raises(
        ConfigError, match="is not Libri2Mix as it was expected: it has 8 train recordings"
    ):
        SpeakerDiarization().read(tree, "")
    with pytest.raises(ConfigError, match="1 recordings have more than 2 speakers: r0"):
        TASK.read(tmp_path, "")
