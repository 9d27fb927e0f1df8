"""Proves that the command measures encoders of every kind by name, writes results that can be compared,
goes on where it was, and answers a person's mistakes in one line.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avrep import cli
from avrep.cluster import run
from avrep.errors import AvrepError, ConfigError
from avrep.evaluate_task import read_rates
from avrep.evaluation.result_files import evaluation_folder, find_results
from avrep.evaluation.sound.run_task import LR_GRID
from avrep.evaluation.sound_tasks import SOUND_TASKS, sound_task
from avrep.media.synth_write import write_wav
from avrep.task_request import TaskRequest, task_names, tasks_below, with_fitting_options

_SHORT = ("--set", "num_steps=40", "--set", "eval_every=20", "--set", "lr=0.01")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """High and low tones in noise, a folder each, for training, choosing and testing."""
    root = tmp_path_factory.mktemp("data") / "sound_folder"
    draws = np.random.default_rng(0)
    time_s = np.arange(4000) / 16_000
    for side, count in (("train", 8), ("valid", 4), ("test", 8)):
        for name, tone_hz in (("low", 300.0), ("high", 1500.0)):
            for number in range(count):
                pitch_hz = tone_hz * draws.uniform(0.8, 1.25)
                sound = 0.3 * np.sin(2 * np.pi * pitch_hz * time_s) + 0.02 * draws.normal(size=4000)
                path = root / side / name / f"{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_wav(path, sound.astype(np.float32), rate_hz=16_000)
    return root


def test_every_task_has_its_name_and_place() -> None:
    superb = {
        f"superb/{name}" for name in ("pr", "asr", "ks", "sid", "asv", "sd", "ic", "sf", "er")
    }
    assert superb | {"esc50", "sound_folder"} == set(SOUND_TASKS)
    assert set(task_names()) >= superb | {"superb/qbe", "ucf101", "hmdb51", "sync"}
    for name in SOUND_TASKS:
        task = sound_task(name, own_data=True)
        assert (task.name, task.own_data) == (name, True)
    assert sound_task("superb/asv", select_on_test=True) != sound_task("superb/asv")
    with pytest.raises(ConfigError, match="superb/ks is never chosen on its test"):
        sound_task("superb/ks", select_on_test=True)


def test_rates_are_read() -> None:
    assert read_rates("") == ()
    assert read_rates("1e-1, 0.01") == (0.1, 0.01)
    assert read_rates("superb") == LR_GRID
    for wrong in ("a", "0", "-1", "inf", "nan"):
        with pytest.raises(ConfigError, match="want positive numbers"):
            read_rates(wrong)


def test_results_go_to_the_run_or_to_a_folder_of_the_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert evaluation_folder(str(tmp_path)) == tmp_path / "evaluation"
    assert evaluation_folder(f"untrained:{tmp_path}") == tmp_path / "evaluation-untrained"
    assert evaluation_folder("torchaudio:HUBERT_BASE") == Path("evaluation/torchaudio-HUBERT_BASE")
    assert evaluation_folder("hf:../other") == Path("evaluation/hf-..-other")


def test_all_tasks_are_those_with_a_folder(tmp_path: Path, tones: Path) -> None:
    (tones.parent / "superb" / "ks").mkdir(parents=True, exist_ok=True)
    found = tasks_below(tones.parent)
    assert found == (
        ("superb/ks", tones.parent / "superb" / "ks"),
        ("sound_folder", tones),
    )
    with pytest.raises(ConfigError, match="no folder named after a task"):
        tasks_below(tmp_path)


@pytest.mark.slow
def test_encoders_are_measured_and_compared(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = []
    for encoder in ("logmel", "logmel-no-cmvn"):
        out = tmp_path / encoder
        arguments = ["--task", "sound_folder", "--root", str(tones), "-o", str(out), *_SHORT]
        with pytest.raises(SystemExit, match="0"):
            cli.main(["evaluate", encoder, *arguments])
        places.append(str(out))
    blind, heard = (find_results([Path(place)])[0] for place in places)
    assert heard.metrics[0].value == 1.0
    assert blind.metrics[0].value < 0.8
    assert heard.data == blind.data
    assert heard.settings["num_steps"] == 40
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        cli.main(["compare", *places, "-o", str(tmp_path / "both")])
    assert "logmel-no-cmvn" in capsys.readouterr().out
    text = (tmp_path / "both.md").read_text(encoding="utf-8")
    assert "| logmel-no-cmvn | **100.0**" in text
    assert (tmp_path / "both.tex").is_file()
    assert (tmp_path / "both.png").is_file()


@pytest.mark.parametrize("error", [OSError(28, "No space left"), AvrepError("a trial died")])
def test_of_all_tasks_those_go_on_that_can(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(request: TaskRequest, **ways: object) -> tuple[str]:
        del ways
        if request.task == "superb/ks":
            raise error
        return (request.task,)

    monkeypatch.setattr(run, "evaluate_task", measure)
    requests = [_asked("superb/ks"), _asked("esc50")]
    told: list[object] = []
    found = run.evaluate_tasks(requests, on_refused=lambda *refused: told.extend(refused))
    assert (found, told) == (("esc50",), [requests[0], error])
    with pytest.raises(type(error)):
        run.evaluate_tasks(requests)


def test_a_second_call_reads_what_the_first_trained(tones: Path, tmp_path: Path) -> None:
    arguments = ["--task", "sound_folder", "--root", str(tones), "-o", str(tmp_path), *_SHORT]
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["evaluate", "logmel-no-cmvn", *arguments])
    (head,) = tmp_path.rglob("head.safetensors")
    (path,) = tmp_path.glob("results/*.json")
    result = json.loads(path.read_text())
    assert result["task"] == "sound_folder"
    (note,) = [note for note in result["notes"] if "the task's own recipe" in note]
    own = sound_task("sound_folder").recipe
    assert f"num_steps 40 ({own.num_steps}), eval_every 20 ({own.eval_every})" in note
    assert "lr" not in note
    assert head.stat().st_mtime < path.stat().st_mtime


def test_what_cannot_be_decoded_is_told_at_once_and_left_out_if_one_says_so(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "tones"
    shutil.copytree(tones, root)
    (root / "test/low/3.wav").write_bytes(b"no sound")
    arguments = ["--task", "sound_folder", "--root", str(root), "-o", str(tmp_path / "o"), *_SHORT]
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "logmel-no-cmvn", *arguments])
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("avrep: 1 of 40 recordings cannot be decoded: ")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "logmel-no-cmvn", *arguments, "--set", "allow_missing=true"])
    (path,) = tmp_path.glob("o/results/*.json")
    assert json.loads(path.read_text())["data"]["num_test"] == 15


@pytest.mark.slow
def test_of_all_tasks_those_that_can_be_are_measured(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    (root / "superb" / "ks").mkdir(parents=True)
    (root / "sound_folder").symlink_to(tones)
    # Of two classes in five folds one file is broken, which shows only when it is heard.
    rows = ["filename,fold,category,src_file"]
    for number, path in enumerate(sorted((tones / "train").rglob("*.wav"))):
        rows.append(f"{number}.wav,{number % 5 + 1},{path.parent.name},{number}")
        place = root / "esc50" / "audio" / f"{number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes() if number else b"no sound")
    (root / "esc50" / "meta").mkdir()
    (root / "esc50" / "meta" / "esc50.csv").write_text("\n".join(rows))
    arguments = ["--task", "all", "--root", str(root), "-o", str(tmp_path / "out"), *_SHORT]
    arguments.append("--own-data")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["evaluate", "logmel-no-cmvn", *arguments])
    (result,) = find_results([tmp_path / "out"])
    assert result.task == "sound_folder"
    told = capsys.readouterr()
    assert "not measured: superb/ks: " in told.err
    assert "is not Speech Commands v0.01" in told.err
    assert "not measured: esc50: 1 of 16 recordings cannot be decoded: " in told.err
    assert f"{root}/esc50/audio/0.wav: " in told.err
    assert "sound_folder" in told.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logmel", "--task", "nonsense", "--root", "."], "no task 'nonsense'; there are ucf101"),
        (["logmel", "--task", "superb/ks"], "needs the data set's folder: --root DIR"),
        (["logmel", "--root", "."], "--root is of --task"),
        (["none", "--task", "superb/ks", "--root", "."], "names no other encoder; give a run"),
        (["logmel", "--task", "ucf101", "--root", "."], "names no other encoder; give a run"),
        (["logmel", "--task", "all", "--root", "tests"], "no folder named after a task"),
        (
            ["logmel", "--task", "superb/sd", "--root", ".", "--set", "lr=x"],
            "--set: lr",
        ),
        (["logmel", "--lrs", "superb"], "--lrs is of --task"),
        (["logmel", "--task", "sync", "--root", ".", "--splits", "."], "--splits is of a run's"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", *arguments])
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("ucf101", ["--recipe", "vcop"], "--recipe vcop: frozen features are trained by none"),
        ("ucf101", ["--lrs", "superb"], "--lrs is of tasks of sound that train a head; ucf101 has"),
        ("ucf101", ["--own-data"], "--own-data is of tasks of sound; ucf101 has no use for it"),
        ("ucf101", ["--select-on-test"], "is of superb/asv and superb/sd; ucf101 has no use"),
        ("superb/ks", ["--select-on-test"], "is of superb/asv and superb/sd; superb/ks has no use"),
        ("superb/er", ["--fold", "2"], "--fold is of action recognition; superb/er has no use"),
        ("esc50", ["--fold", "2"], "--fold is of action recognition; esc50 has no use for it"),
        ("superb/ks", ["--protocol", "finetune"], "--protocol is of action recognition; superb/ks"),
        ("superb/ks", ["--recipe", "vcop"], "--recipe is of action recognition; superb/ks"),
        ("sync", ["--groups", "corpus"], "--groups is of action recognition; sync has no use"),
        ("superb/qbe", ["--set", "lr=1"], "--set is of tasks that train or sample; superb/qbe has"),
        ("superb/ks", ["--set", "decoder.beam_size=1"], "decoder"),
    ],
)
def test_an_option_that_a_task_has_no_use_for_is_refused_in_one_line(
    task: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "logmel", "--task", task, "--root", ".", *options])
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def _asked(task: str, **options: object) -> TaskRequest:
    common = {"encoder": "logmel", "root": Path(), "out": Path()}
    return TaskRequest(**(common | {"task": task} | options))  # pyright: ignore[reportArgumentType]


def test_of_all_tasks_each_gets_the_options_that_it_has_a_use_for() -> None:
    options = {
        "protocol": "finetune",
        "recipe": "vcop",
        "folds": (1,),
        "lrs": (0.1, 0.2),
        "select_on_test": True,
        "overrides": ("num_steps=4", "decoder.lexicon=a"),
    }
    tasks = ("ucf101", "superb/asv", "superb/asr", "superb/qbe")
    sound = {"lrs": (0.1, 0.2), "overrides": ("num_steps=4",)}
    assert with_fitting_options([_asked(task, **options) for task in tasks]) == (
        _asked(
            "ucf101", protocol="finetune", recipe="vcop", folds=(1,), overrides=("num_steps=4",)
        ),
        _asked("superb/asv", select_on_test=True, **sound),
        _asked("superb/asr", **(sound | {"overrides": options["overrides"]})),
        _asked("superb/qbe"),
    )
    with pytest.raises(ConfigError, match="none of esc50, superb/ks has a use for it"):
        with_fitting_options([_asked(task, select_on_test=True) for task in ("esc50", "superb/ks")])


def test_a_misplaced_data_set_is_shown_its_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "logmel", "--task", "superb/ks", "--root", str(tmp_path)])
    first, second, *tree = capsys.readouterr().err.strip().splitlines()
    assert first.startswith(f"avrep: {tmp_path} is not Speech Commands v0.01")
    assert second == "Expected:"
    assert any("speech_commands_test_set_v0.01/" in line for line in tree)
