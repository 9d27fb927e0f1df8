"""Proves a task from its folder to its result: sounds whose classes an encoder can hear."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.sound.cached_states import cached_states
from avrep.evaluation.sound.esc50 import PROBE_RECIPE
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import SoundRun, run_sound_task
from avrep.evaluation.sound.sound_folder import SoundFolder
from avrep.evaluation.task_result import TaskResult, read_result, write_result
from tests.small_sounds import Moments, tone, write_wav

_RECIPE = HeadRecipe(lr=0.05, batch_size=4, num_steps=20, eval_every=10, crop_samples=800)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loud and quiet tones, 8 of each to train and 6 to test."""
    folder = tmp_path_factory.mktemp("loudness") / "tones"
    draws = np.random.default_rng(0)
    for side, num in (("train", 8), ("test", 6)):
        for number in range(num):
            for name, gain in (("loud", 2.0), ("quiet", 0.2)):
                samples = gain * tone(draws.uniform(200, 2000), draws.uniform(0.05, 0.2))
                write_wav(folder / side / name / f"{number}.wav", samples)
    return folder


@pytest.fixture(scope="module")
def fresh(root: Path, tmp_path_factory: pytest.TempPathFactory) -> TaskResult:
    """The result with states computed each time."""
    out = tmp_path_factory.mktemp("fresh")
    (result,) = run_sound_task(SoundFolder(), Moments(), root, out, recipe=_RECIPE)
    return result


def test_classes_that_can_be_heard_are_told(fresh: TaskResult, tmp_path: Path) -> None:
    acc, balanced, _ = fresh.metrics
    assert (acc.name, acc.value, acc.num_items, acc.num_clusters) == ("acc", 1.0, 12, 12)
    assert (balanced.value, balanced.chance, acc.chance) == (1.0, 0.5, 0.5)
    assert acc.ci_low < 0.9
    facts = fresh.data
    assert (facts.name, facts.num_train, facts.num_valid, facts.num_test) == ("tones", 12, 4, 12)
    assert (fresh.task, fresh.protocol, fresh.protocol_version) == (
        "sound_folder",
        "superb probe",
        1,
    )
    assert fresh.settings["lrs_tried"] == "0.05"
    assert fresh.settings["hidden_states"] == "computed each time"
    write_result(tmp_path / "result.json", fresh)
    assert read_result(tmp_path / "result.json") == fresh


def test_with_states_on_disk_it_is_as_good_and_says_so(
    root: Path, tmp_path: Path, fresh: TaskResult
) -> None:
    told: list[str] = []
    upstream = Moments()
    (cached,) = run_sound_task(
        SoundFolder(),
        upstream,
        root,
        tmp_path,
        recipe=_RECIPE,
        open_states=cached_states,
        tell=lambda what, done, in_all: told.append(f"{what} {done}/{in_all}"),
    )
    assert cached.metrics == fresh.metrics
    assert "float16" in str(cached.settings["hidden_states"])
    assert cached.notes == ()
    assert upstream.num_heard == 28
    assert told[0] == "computing hidden states 1/28"
    assert "training at 0.05 20/20" in told
    assert told[-1] == "testing 12/12"


@pytest.mark.slow
def test_the_rate_is_chosen_on_the_validation_part_and_a_second_run_reads(
    root: Path, tmp_path: Path
) -> None:
    recipe = _RECIPE.model_copy(update={"num_steps": 10})
    told: list[str] = []
    results = [
        run_sound_task(
            SoundFolder(),
            Moments(),
            root,
            tmp_path,
            recipe=recipe,
            lrs=(1e-7, 0.05),
            open_states=partial(cached_states, max_bytes=0),
            tell=lambda what, *_: told.append(what),
        )
        for _ in range(2)
    ]
    assert results[0] == results[1]
    (result,) = results[0]
    assert (result.settings["lr"], result.settings["lrs_tried"]) == (0.05, "1e-07, 0.05")
    assert "of 28 recordings were computed each time" in result.notes[0]
    assert told.count("training at 0.05") == 10
    assert len(list(tmp_path.glob("head-lr*/head.safetensors"))) == 2


@pytest.mark.slow
def test_other_data_and_seeds_have_heads_of_their_own(root: Path, tmp_path: Path) -> None:
    recipe = _RECIPE.model_copy(update={"num_steps": 1, "eval_every": 1})
    for seed in (0, 1):
        run_sound_task(SoundFolder(), Moments(), root, tmp_path, recipe=recipe, seed=seed)
    other = tmp_path / "less"
    for path in sorted(root.glob("*/*/[0-5].wav")):
        place = other / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    run_sound_task(SoundFolder(), Moments(), other, tmp_path, recipe=recipe)
    run_sound_task(SoundFolder(), Moments(2.0), root, tmp_path, recipe=recipe)
    assert len(list(tmp_path.glob("head-lr*/head.safetensors"))) == 4


def test_recordings_that_cannot_be_decoded_are_all_told_and_left_out_where_that_is_allowed(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "tones")
    broken = [tmp_path / "tones" / name for name in ("test/loud/0.wav", "train/quiet/3.wav")]
    for path in broken:
        path.write_bytes(b"no sound")
    task, out = SoundFolder(), tmp_path / "out"

    def measure(*, allow_missing: bool) -> TaskResult:
        (result,) = run_sound_task(
            task,
            Moments(),
            tmp_path / "tones",
            out,
            recipe=_RECIPE,
            open_states=cached_states,
            allow_missing=allow_missing,
        )
        return result

    with pytest.raises(ConfigError, match=r"^2 of 28 recordings cannot be decoded: ") as error:
        measure(allow_missing=False)
    assert all(str(path) in str(error.value) for path in broken)
    assert str(error.value).endswith("leave them out by --set allow_missing=true")
    result = measure(allow_missing=True)
    facts = result.data
    assert (facts.num_train + facts.num_valid, facts.num_test) == (15, 11)
    (note,) = [note for note in result.notes if "left out, as allowed" in note]
    assert note.startswith("2 of 28 recordings cannot be decoded and were left out, as allowed: ")
    assert result.metrics[0].num_items == 11
    shutil.rmtree(tmp_path / "tones" / "test" / "loud")
    loud = tmp_path / "tones" / "test" / "loud" / "0.wav"
    loud.parent.mkdir()
    for path in (loud, *(tmp_path / "tones" / "test" / "quiet").iterdir()):
        path.write_bytes(b"no sound")
    with pytest.raises(ConfigError, match="nothing is left to train, choose or test on"):
        measure(allow_missing=True)


def test_a_run_is_sent_without_its_encoder(root: Path, tmp_path: Path) -> None:
    task, upstream = SoundFolder(), Moments()
    run = SoundRun(
        task=task,
        data=task.read(root, ""),
        upstream=upstream,
        read_states=cached_states(upstream, task, tmp_path),
        seed=0,
        folder=tmp_path,
        tell=print,
    )
    run.fill_states()
    sent = run.to_send()
    assert sent.tell is None
    recipe = _RECIPE.model_copy(update={"num_steps": 2, "eval_every": 1})
    there = replace(sent, folder=tmp_path / "there").train(recipe)
    assert there.selection == run.train(recipe).selection


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ((), "0 sounds to train"),
        (("a/1.wav", "a/2.wav"), "classes"),
        (("train/a/1.wav", "train/b/1.wav", "test/c/1.wav"), "0 to choose on"),
        (
            ("train/a/1.wav", "train/b/1.wav", "valid/a/2.wav", "test/c/1.wav"),
            "class 'c' has no sounds to train",
        ),
    ],
)
def test_a_folder_without_classes_is_refused_with_the_tree(
    tmp_path: Path, made: tuple[str, ...], fault: str
) -> None:
    for name in made:
        write_wav(tmp_path / name, tone(300))
    with pytest.raises(ConfigError, match=fault) as told:
        SoundFolder().read(tmp_path, "")
    assert "train/dog/1.wav" in str(told.value)


def test_a_plain_folder_is_split_by_class(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        for number in range(20):
            write_wav(tmp_path / name / f"{number}.wav", tone(300, 0.01))
    data = SoundFolder().read(tmp_path, "")
    assert (len(data.train), len(data.valid), len(data.test)) == (24, 6, 10)
    keys = [each.recording.key for each in (*data.train, *data.valid, *data.test)]
    assert len(set(keys)) == 40
    assert sum(each.labels == ("dog",) for each in data.test) == 5
    assert data.notes == ("the test part is a draw: 25% of each class",)
    assert SoundFolder().read(tmp_path, "").facts == data.facts
    assert PROBE_RECIPE.crop_samples is None
