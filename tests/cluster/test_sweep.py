"""Proves that a Ray Tune sweep over learning rates chooses what one after another chooses."""

from pathlib import Path
from threading import RLock

import numpy as np
import pytest
import torch
from ray.exceptions import RayTaskError

from avrep.cluster.gpus import Gpus
from avrep.cluster.sweep import refuse_errors, train_on_ray, trial_resources
from avrep.errors import AvrepError, ConfigError
from avrep.evaluate_task import evaluate_task
from avrep.evaluation.result_files import find_results
from avrep.evaluation.sound.cached_states import cached_states
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.sound.sound_folder import SoundFolder
from avrep.evaluation.task_result import TaskResult
from avrep.task_request import TaskRequest
from tests.small_sounds import Moments, tone, write_wav

_RECIPE = HeadRecipe(lr=1e-3, batch_size=4, num_steps=20, eval_every=10)
_LRS = (1e-7, 0.05)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loud and quiet tones."""
    folder = tmp_path_factory.mktemp("sweep") / "tones"
    draws = np.random.default_rng(0)
    for side, num in (("train", 10), ("test", 8)):
        for number in range(num):
            for name, gain in (("loud", 2.0), ("quiet", 0.2)):
                samples = gain * tone(draws.uniform(200, 2000), 0.1)
                write_wav(folder / side / name / f"{number}.wav", samples)
    return folder


def _measure(root: Path, out: Path, *, on_ray: bool, said: list[str] | None = None) -> TaskResult:
    # As a terminal's progress has one, which cannot be sent anywhere.
    lock = RLock()

    def tell(what: str, *numbers: int) -> None:
        del numbers
        with lock:
            if said is not None:
                said.append(what)

    (result,) = run_sound_task(
        SoundFolder(),
        Moments(),
        root,
        out,
        recipe=_RECIPE,
        lrs=_LRS,
        open_states=cached_states,
        train_all=train_on_ray if on_ray else None,
        tell=tell,
    )
    return result


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_chooses_what_one_after_another_chooses(root: Path, tmp_path: Path) -> None:
    alone = _measure(root, tmp_path / "alone", on_ray=False)
    said: list[str] = []
    swept = _measure(root, tmp_path / "swept", on_ray=True, said=said)
    assert swept == alone
    assert swept.settings["lr"] == 0.05
    # The trials trained; here their heads were only read.
    assert set(said) == {"computing hidden states", "training at several rates", "testing"}
    assert said.count("training at several rates") == 2
    heads = {path.name for path in (tmp_path / "swept").glob("head-lr*")}
    assert heads == {path.name for path in (tmp_path / "alone").glob("head-lr*")}
    for name in heads:
        file = Path(name) / "head.safetensors"
        swept_bytes = (tmp_path / "swept" / file).read_bytes()
        assert swept_bytes == (tmp_path / "alone" / file).read_bytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_folders_may_be_named_from_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tones").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    request = TaskRequest(
        encoder="logmel-no-cmvn",
        task="sound_folder",
        root=Path("tones"),
        out=Path("out"),
        lrs=_LRS,
        overrides=("num_steps=20", "eval_every=10", "batch_size=4"),
    )
    (result,) = evaluate_task(request, train_all=train_on_ray)
    assert result.data.name == "tones"
    assert find_results([tmp_path / "out"]) == [result]


def test_trials_have_gpus_where_the_encoder_is_on_one(caplog: pytest.LogCaptureFixture) -> None:
    with_gpu = {"cpu": 1.0, "gpu": 1.0}
    some = Gpus(num=2, num_free=2, can_grow=False)
    assert trial_resources(torch.device("cpu"), some) == {"cpu": 1.0}
    assert trial_resources(torch.device("cuda", 0), some) == with_gpu
    assert caplog.text == ""
    to_come = Gpus(num=0, num_free=0, can_grow=True)
    assert trial_resources(torch.device("cuda", 0), to_come) == with_gpu
    assert "--lrs with the encoder on a GPU: waiting for 1 GPU;" in caplog.text
    with pytest.raises(
        ConfigError, match=r"and Ray finds 0 on this machine; give one rate, or set"
    ):
        trial_resources(torch.device("cuda", 0), Gpus(num=0, num_free=0, can_grow=False))


def test_what_a_person_can_mend_is_told_as_such() -> None:
    refuse_errors([], "superb/ks")
    mend = ConfigError("head.safetensors is of another recipe")
    for error in (mend, RayTaskError("train", "Traceback", mend)):
        with pytest.raises(ConfigError, match=r"^head\.safetensors is of another recipe$"):
            refuse_errors([error], "superb/ks")


def test_whatever_else_ends_a_trial_is_one_line_of_this_task_alone() -> None:
    full, lost = OSError(28, "No space left on device"), RuntimeError("CUDA error:\n lost")
    for error, told in (
        (
            RayTaskError("train", "Traceback\n", full),
            r"OSError: \[Errno 28\] No space left on device",
        ),
        (lost, "RuntimeError: CUDA error: lost"),
    ):
        with pytest.raises(AvrepError, match=rf"^training superb/ks at several .*: {told}$"):
            refuse_errors([error], "superb/ks")
