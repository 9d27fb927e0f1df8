"""Heads at several learning rates side by side: a Ray Tune sweep, a trial for each.

A trial trains one head into the run's folder, from hidden states that are on disk already where they
are cached, and tells what it came to on the validation part. What is chosen, and tested, is decided
behind the sweep from those heads, as it is without Ray: see `run_sound_task`. So a sweep that was
stopped goes on where it was, and a trial that is done is read.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial

from avrep.cluster.gpus import Gpus, registered_gpus, wait_notice
from avrep.errors import AvrepError, ConfigError
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.run_task import SoundRun, Tell

_SELECTION = "selection"

_log = logging.getLogger(__name__)


def train_on_ray(
    run: SoundRun[Any, Any], recipes: Sequence[HeadRecipe], *, can_grow: bool = True
) -> None:
    """A `TrainAll` of `run_sound_task`; Ray must be initialised.

    On several nodes the data set and the run's folder must be the same for all of them: a shared file
    system.

    Args:
        run: whose folder the heads go to.
        recipes: one trial each.
        can_grow: whether nodes may still come; a GPU that is not there yet is waited for then.

    Raises:
        ConfigError: a trial ended in an error that a person can mend; or see `trial_resources`.
        AvrepError: a trial ended in another error, or the sweep itself did.
    """
    resources = trial_resources(run.upstream.device, registered_gpus(can_grow=can_grow))
    trial = tune.with_parameters(_train, run=run.to_send())
    # Tune's newer reporter prints whatever `verbose` says, and its loggers write what heads' files say.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    tuner = tune.Tuner(
        tune.with_resources(trial, resources),
        param_space={"recipe": tune.grid_search([each.model_dump_json() for each in recipes])},
        tune_config=tune.TuneConfig(metric=_SELECTION, mode="max"),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str((run.folder / "tune").resolve()),
            verbose=0,
            callbacks=[_Counted(run.tell, len(recipes))],
        ),
    )
    try:
        errors = tuner.fit().errors
    except (RuntimeError, OSError, tune.TuneError) as error:
        errors = [error]
    refuse_errors(errors, run.task.name)


def trial_resources(device: torch.device, found: Gpus) -> dict[str, float]:
    """What each trial has: a core, and a GPU if the encoder is on one; told if it has to wait for it.

    Args:
        device: the encoder's, and the head's.
        found: what there is.

    Raises:
        ConfigError: there is no GPU for the trials, and none will come.
    """
    if device.type != "cuda":
        return {"cpu": 1.0}
    asked, mend = "--lrs with the encoder on a GPU", "give one rate"
    if notice := wait_notice(1, found, asked=asked, mend=mend):
        _log.warning(notice)
    return {"cpu": 1.0, "gpu": 1.0}


def refuse_errors(errors: Sequence[BaseException], task: str) -> None:
    """Raise the first of the errors that trials ended in, if any did.

    Raises:
        ConfigError: it is one that a person can mend.
        AvrepError: it is another.
    """
    for error in errors:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, AvrepError):
            raise ConfigError(str(cause)) from error
        told = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        raise AvrepError(
            f"training {task} at several rates failed; the same command goes on with those that are "
            f"left: {told}"
        ) from error


class _Counted(tune.Callback):
    """Tells how many trials are done."""

    def __init__(self, tell: Tell | None, num_trials: int) -> None:
        self._tell, self._num_trials, self._num_done = tell, num_trials, 0

    def __getstate__(self) -> dict[str, object]:
        """Tune pickles it with the experiment, and a terminal's progress cannot be."""
        return {**self.__dict__, "_tell": None}

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        del iteration, trials, trial, info
        self._num_done += 1
        if self._tell:
            self._tell("training at several rates", self._num_done, self._num_trials)


def _train(config: dict[str, Any], run: SoundRun[Any, Any]) -> None:
    # Ray gives it one core.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    trained = run.train(HeadRecipe.model_validate_json(config["recipe"]))
    tune.report({_SELECTION: trained.selection, "step": trained.step})
