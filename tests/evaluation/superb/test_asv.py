"""Proves speaker verification end to end on small voices: what is chosen on what, the scores of trials,
and the file of predictions.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.superb.asv import SpeakerVerification, score_trials, trials_of
from avrep.evaluation.task_result import TaskResult
from avrep.evaluation.verification import equal_error_rate, error_curve
from tests.evaluation.superb.voices import Bands, voice, write_sound

RECIPE = HeadRecipe(optimizer="adamw", lr=1e-3, batch_size=8, num_steps=4, eval_every=2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers to train on and four to be told apart, three utterances each."""
    root = tmp_path_factory.mktemp("voxceleb")
    names = {"dev": range(1, 7), "test": range(7, 11)}
    for part, speakers in names.items():
        for speaker in speakers:
            for number in range(3):
                path = root / f"{part}/wav/id{speaker:05}/v/{number:05}.wav"
                write_sound(path, voice(speaker, 8000, seed=10 * speaker + number))
    lines = [
        f"{int(a == b)} id{a:05}/v/{i:05}.wav id{b:05}/v/{j:05}.wav\n"
        for a in names["test"]
        for b in names["test"]
        for i, j in ((0, 1), (2, 0))
    ]
    (root / "veri_test.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def task() -> SpeakerVerification:
    return SpeakerVerification(own_data=True, min_samples=4000)


@pytest.fixture(scope="module")
def result(
    tree: Path, task: SpeakerVerification, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TaskResult, Path]:
    folder = tmp_path_factory.mktemp("asv")
    (found,) = run_sound_task(task, Bands(), tree, folder, recipe=RECIPE)
    return found, folder


def test_the_recipe_is_the_published_one() -> None:
    recipe = SpeakerVerification.recipe
    assert (recipe.optimizer, recipe.lr, recipe.batch_size) == ("adamw", 1e-4, 10)
    assert (recipe.num_accumulated, recipe.num_steps, recipe.eval_every) == (5, 200_000, 20_000)
    assert (recipe.max_grad_norm, recipe.crop_samples) == (1000, 128_000)


@pytest.mark.slow
def test_the_result(result: tuple[TaskResult, Path]) -> None:
    found, _ = result
    assert [metric.name for metric in found.metrics] == ["eer", "mindcf_0.01", "mindcf_0.05"]
    eer = found.metrics[0]
    assert not eer.higher_is_better
    assert (eer.num_items, eer.num_clusters, eer.chance) == (32, 4, 0.5)
    # A voice is a tone: even a head of four steps hears that.
    assert eer.value < 0.2
    assert found.notes[0].startswith("chosen on trials drawn among training speakers")
    assert any("not the official VoxCeleb1" in note for note in found.notes)


@pytest.mark.slow
def test_the_file_of_predictions(result: tuple[TaskResult, Path], tree: Path) -> None:
    found, folder = result
    lines = (folder / "test_predict.txt").read_text().splitlines()
    trials = (tree / "veri_test.txt").read_text().splitlines()
    names = [line.split()[0] for line in lines]
    wanted = [
        "_".join(name.removesuffix(".wav").replace("/", "-") for name in line.split()[1:])
        for line in trials
    ]
    assert names == wanted
    scores = np.array([float(line.split()[1]) for line in lines])
    curve = error_curve(scores, np.array([line[0] == "1" for line in trials]))
    assert equal_error_rate(curve) == pytest.approx(found.metrics[0].value)


def test_what_the_head_is_chosen_on(tree: Path, task: SpeakerVerification) -> None:
    held = task.read(tree, "")
    assert {example.recording.speaker for example in held.valid} & {"id00007", "id00010"} == set()
    assert len(held.train) == 4 * 3
    assert sorted({example.label for example in held.train}) == [0, 1, 2, 3]
    public = SpeakerVerification(own_data=True, select_on="test").read(tree, "")
    assert len(public.train) == 6 * 3
    assert public.valid == public.test == held.test
    assert public.notes[0].startswith("CHOSEN ON THE TEST")
    assert public.facts.digest != held.facts.digest


def test_trials_go_with_either_of_their_recordings(tree: Path, task: SpeakerVerification) -> None:
    data = task.read(tree, "")
    trials = trials_of(data.test)
    gone = data.test[1].recording
    left = task.without(data, {gone})
    assert [each.recording for each in left.test] == [
        each.recording for each in data.test if each.recording != gone
    ]
    kept = [trial for trial in trials if gone.key not in (trial.first, trial.second)]
    assert 0 < len(kept) < len(trials)
    assert trials_of(left.test) == kept
    vectors = list(torch.eye(len(left.test)))
    scores, _, _ = score_trials(left.test, vectors)
    assert len(scores) == len(kept)


def test_scores_are_cosines_in_the_lists_order(tree: Path, task: SpeakerVerification) -> None:
    examples = task.read(tree, "").test
    vectors = torch.nn.functional.normalize(
        torch.randn(len(examples), 5, generator=torch.Generator().manual_seed(0)), dim=1
    )
    scores, is_target, speakers = score_trials(examples, list(vectors))
    row = {example.recording.key: number for number, example in enumerate(examples)}
    for number, line in enumerate((tree / "veri_test.txt").read_text().splitlines()):
        said, *names = line.split()
        a, b = (row[name.removesuffix(".wav").replace("/", "-")] for name in names)
        assert scores[number] == pytest.approx(float(vectors[a] @ vectors[b]), abs=1e-6)
        assert is_target[number] == (said == "1")
        assert speakers[number] == tuple(name.split("/")[0] for name in names)
    perfect = [vectors[int(example.recording.speaker[2:]) % 4] for example in examples]
    assert task.selection(examples, perfect) == 0
