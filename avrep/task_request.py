"""What is to be measured, and which of a person's options a task has a use for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

from avrep.errors import ConfigError
from avrep.evaluation.action.read import ACTION_FOLDS
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.sound_tasks import SELECT_ON_TEST, SOUND_TASKS
from avrep.evaluation.superb.asr import SpeechRecognition
from avrep.evaluation.superb.qbe import NAME as QBE

Protocol = Literal["frozen", "attentive", "finetune"]
SYNC = "sync"
OF_DECODER = "decoder."
"""What overrides of superb/asr's decoder begin with."""


def task_names() -> tuple[str, ...]:
    """Every task that there is."""
    return (*ACTION_FOLDS, *SOUND_TASKS, QBE, SYNC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What is to be measured."""

    encoder: str
    """See `open_upstream` and `open_video_encoder`."""
    task: str
    root: Path
    """The data set's folder."""
    out: Path
    """Of this encoder."""
    protocol: Protocol = "frozen"
    """Of action recognition: what is done with the encoder."""
    recipe: str = ""
    """Of fine-tuning and of the attentive probe: whose."""
    folds: tuple[int, ...] = ()
    """Of action recognition; all of them if none."""
    group_scope: GroupScope = "class"
    lrs: tuple[float, ...] = ()
    """Of tasks of sound: rates to choose from on the validation part."""
    own_data: bool = False
    """Whether it is other data in the official layout: then counts may differ."""
    select_on_test: bool = False
    """Of verification and diarization: choose on the test, as the public toolkit does."""
    overrides: tuple[str, ...] = ()
    """`key=value` of the task's own config or recipe; of action recognition by any protocol and of
    sound also `allow_missing=true`, of superb/asr `decoder.lexicon=FILE` and the like."""
    seed: int = 0


class _Option(NamedTuple):
    """An option of the command, and what it is of."""

    flag: str
    field: str
    """Of `TaskRequest`."""
    tasks: tuple[str, ...]
    """Those that have a use for it."""
    whose: str
    """The same in words."""


_ACTION = tuple(ACTION_FOLDS)
_OPTIONS = (
    _Option("--protocol", "protocol", _ACTION, "action recognition"),
    _Option("--recipe", "recipe", _ACTION, "action recognition"),
    _Option("--fold", "folds", _ACTION, "action recognition"),
    _Option("--groups", "group_scope", _ACTION, "action recognition"),
    _Option("--lrs", "lrs", tuple(SOUND_TASKS), "tasks of sound that train a head"),
    _Option("--own-data", "own_data", (*SOUND_TASKS, QBE), "tasks of sound"),
    _Option("--select-on-test", "select_on_test", SELECT_ON_TEST, " and ".join(SELECT_ON_TEST)),
    _Option("--set", "overrides", (*_ACTION, *SOUND_TASKS, SYNC), "tasks that train or sample"),
)
_DEFAULTS = {field.name: field.default for field in fields(TaskRequest)}


def check_options(request: TaskRequest) -> None:
    """Refuse what would be passed over.

    Raises:
        ConfigError: an option is given that the task has no use for, or a recipe where nothing is
            trained by one.
    """
    for option in _OPTIONS if request.task in task_names() else ():
        if _is_given(option, request) and request.task not in option.tasks:
            raise ConfigError(
                f"{option.flag} is of {option.whose}; {request.task} has no use for it. "
                f"Mend: leave {option.flag} out"
            )
    if request.recipe and request.protocol == "frozen":
        raise ConfigError(
            f"--recipe {request.recipe}: frozen features are trained by none. "
            "Mend: add --protocol finetune or --protocol attentive"
        )


def with_fitting_options(requests: Sequence[TaskRequest]) -> tuple[TaskRequest, ...]:
    """Of several tasks asked for together, each with those of the options that it has a use for.

    Raises:
        ConfigError: an option is given that none of the tasks has a use for.
    """
    names = [request.task for request in requests]
    for option in _OPTIONS:
        is_given = any(_is_given(option, request) for request in requests)
        if is_given and not set(names) & set(option.tasks):
            raise ConfigError(
                f"{option.flag} is of {option.whose}, and none of {', '.join(names)} has a use for "
                f"it. Mend: leave {option.flag} out"
            )
    return tuple(_fitting(request) for request in requests)


def _fitting(request: TaskRequest) -> TaskRequest:
    """Without what its task has no use for."""
    unfit = [option.field for option in _OPTIONS if request.task not in option.tasks]
    request = replace(request, **{field: _DEFAULTS[field] for field in unfit})
    if request.task == SpeechRecognition.name:
        return request
    kept = tuple(each for each in request.overrides if not each.startswith(OF_DECODER))
    return replace(request, overrides=kept)


def tasks_below(root: Path) -> tuple[tuple[str, Path], ...]:
    """Every task whose data lie in a folder of its name: `--task all`.

    Raises:
        ConfigError: there is none.
    """
    found = tuple((name, root / name) for name in task_names() if (root / name).is_dir())
    if not found:
        raise ConfigError(
            f"{root} has no folder named after a task; for all tasks put each data set into one: "
            f"{', '.join(task_names())}"
        )
    return found


def _is_given(option: _Option, request: TaskRequest) -> bool:
    return getattr(request, option.field) != _DEFAULTS[option.field]
