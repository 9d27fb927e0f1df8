"""Measuring any encoder by a task of a data set: from names to results on disk.

OUT/
    results/        a JSON file for each result, see `avrep.evaluation.result_files`
    TASK/           heads, features and the files that other tools take; a run that was stopped goes on
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from avrep.action_task import measure_action
from avrep.config import read_overrides
from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionTask
from avrep.evaluation.action.measure import ActionTaskConfig
from avrep.evaluation.action.read import ACTION_FOLDS
from avrep.evaluation.result_files import write_results
from avrep.evaluation.sound.cached_states import MAX_BYTES, CachedStates, cached_states
from avrep.evaluation.sound.head import recipe_notes
from avrep.evaluation.sound.run_task import LR_GRID, TrainAll, run_sound_task
from avrep.evaluation.sound_tasks import SOUND_TASKS, sound_task
from avrep.evaluation.superb.asr import SpeechRecognition
from avrep.evaluation.superb.lexicon_decoder import LexiconDecoderConfig
from avrep.evaluation.superb.qbe import NAME as QBE
from avrep.evaluation.superb.qbe import run_query_by_example
from avrep.evaluation.superb.sox_effects import gain
from avrep.evaluation.task_result import TaskResult
from avrep.finetune import measure_action_on_labels
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.recognition.attentive_recipe import attentive_recipe
from avrep.recognition.published import published_recipe
from avrep.report.sync_plot import draw_sync
from avrep.sync_task import SyncTaskConfig, measure_sync
from avrep.task_request import OF_DECODER, SYNC, TaskRequest, check_options, task_names
from avrep.training import parallel
from avrep.upstreams import open_upstream
from avrep.video_encoders import open_video_encoder

_MISSING = "allow_missing="
_ACTION_TASKS: dict[str, ActionTask] = {name: name for name in ACTION_FOLDS}

Tell = Callable[[str, int, int], None]
"""Called with (what is done, how much of it is done, how much there is)."""


def evaluate_task(
    request: TaskRequest,
    *,
    open_stream: OpenStream = plain_stream,
    train_all: TrainAll | None = None,
    tell: Tell | None = None,
) -> tuple[TaskResult, ...]:
    """Measure one encoder by one task, and write the results.

    Args:
        request: what is to be measured.
        open_stream: of videos; the plain stream, or Ray's.
        train_all: how heads at several learning rates are trained; one after another if None.
        tell: told how far it is.

    Raises:
        ConfigError: there is no such task, encoder, recipe or data set; the message says what there is.
            Or see `check_options`.
    """
    check_options(request)
    # Ray's processes are elsewhere.
    request = replace(request, root=request.root.absolute(), out=request.out.absolute())
    if request.task in ACTION_FOLDS:
        results = _action(request, open_stream, tell)
    elif request.task in SOUND_TASKS:
        results = _sound(request, train_all, tell)
    elif request.task == QBE:
        results = _query_by_example(request, tell)
    elif request.task == SYNC:
        results = _sync(request, open_stream, tell)
    else:
        raise ConfigError(f"no task {request.task!r}; there are {', '.join(task_names())}, all")
    write_results(request.out, results)
    return results


def read_rates(text: str) -> tuple[float, ...]:
    """Learning rates: "1e-1,1e-2", "superb" for the seven that SUPERB allows, "" for none.

    Raises:
        ConfigError: a rate is no positive number.
    """
    if text == "superb":
        return LR_GRID
    try:
        rates = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        rates = (-1.0,)
    if any(not 0 < rate < math.inf for rate in rates):
        raise ConfigError(f"--lrs {text}: want positive numbers such as 1e-1,1e-2, or superb")
    return rates


def _work(request: TaskRequest) -> Path:
    return request.out / request.task.replace("/", "-")


def _said(tell: Tell | None, what: str) -> Callable[[int, int], None] | None:
    return None if tell is None else lambda done, in_all: tell(what, done, in_all)


def _action(
    request: TaskRequest, open_stream: OpenStream, tell: Tell | None
) -> tuple[TaskResult, ...]:
    if request.protocol != "frozen":
        return _on_labels(request, open_stream, tell)
    config = read_overrides(ActionTaskConfig(seed=request.seed), request.overrides)
    return measure_action(
        open_video_encoder(request.encoder),
        request.root,
        _ACTION_TASKS[request.task],
        _work(request),
        config,
        folds=request.folds or None,
        group_scope=request.group_scope,
        open_stream=open_stream,
        tell=tell,
    )


def _on_labels(
    request: TaskRequest, open_stream: OpenStream, tell: Tell | None
) -> tuple[TaskResult, ...]:
    of_recipe, allow_missing = _missing_allowed(request)
    recipe = (
        read_overrides(attentive_recipe(request.recipe or "vjepa-2x3"), of_recipe)
        if request.protocol == "attentive"
        else read_overrides(published_recipe(request.recipe or "small"), of_recipe)
    )
    kind, colon, rest = request.encoder.partition(":")
    is_untrained = bool(colon) and kind == "untrained"
    return measure_action_on_labels(
        Path(rest if is_untrained else request.encoder),
        request.root,
        _ACTION_TASKS[request.task],
        _work(request),
        recipe,
        trained=not is_untrained,
        folds=request.folds or None,
        group_scope=request.group_scope,
        allow_missing=allow_missing,
        seed=request.seed,
        open_stream=open_stream,
        tell=tell,
    )


def _missing_allowed(request: TaskRequest) -> tuple[list[str], bool]:
    """The overrides that are of a recipe, and what is said of all tasks as it is of frozen features."""
    of_missing = [each for each in request.overrides if each.startswith(_MISSING)]
    of_recipe = [each for each in request.overrides if each not in of_missing]
    return of_recipe, read_overrides(ActionTaskConfig(), of_missing).allow_missing


def _sound(
    request: TaskRequest, train_all: TrainAll | None, tell: Tell | None
) -> tuple[TaskResult, ...]:
    upstream = open_upstream(request.encoder, parallel.pick_device("auto"))
    task = sound_task(
        request.task, own_data=request.own_data, select_on_test=request.select_on_test
    )
    overrides, allow_missing = _missing_allowed(request)
    if isinstance(task, SpeechRecognition):
        of_decoder = [each for each in overrides if each.startswith(OF_DECODER)]
        overrides = [each for each in overrides if each not in of_decoder]
        if of_decoder:
            task.decoder = read_overrides(
                LexiconDecoderConfig(lexicon=Path()),
                [each.removeprefix(OF_DECODER) for each in of_decoder],
            )
    recipe = read_overrides(task.recipe, overrides)
    results = run_sound_task(
        task,
        upstream,
        request.root,
        _work(request),
        recipe=recipe,
        lrs=request.lrs,
        seed=request.seed,
        open_states=cached_states,
        train_all=train_all if len(request.lrs) > 1 else None,
        allow_missing=allow_missing,
        tell=tell,
    )
    notes = recipe_notes(recipe, task.recipe)
    return tuple(each.model_copy(update={"notes": (*each.notes, *notes)}) for each in results)


def _query_by_example(request: TaskRequest, tell: Tell | None) -> tuple[TaskResult, ...]:
    upstream = open_upstream(request.encoder, parallel.pick_device("auto"))
    result = run_query_by_example(
        upstream,
        request.root,
        _work(request),
        own_data=request.own_data,
        read_states=CachedStates(
            upstream, gain, _work(request) / "states" / upstream.facts.digest, MAX_BYTES
        ),
        seed=request.seed,
        tell=tell,
    )
    return (result,)


def _sync(
    request: TaskRequest, open_stream: OpenStream, tell: Tell | None
) -> tuple[TaskResult, ...]:
    kind, colon, rest = request.encoder.partition(":")
    is_untrained = bool(colon) and kind == "untrained"
    work = _work(request)
    results, clips = measure_sync(
        Path(rest if is_untrained else request.encoder),
        _indexed(request.root, work, tell),
        read_overrides(SyncTaskConfig(), request.overrides),
        trained=not is_untrained,
        seed=request.seed,
        open_stream=open_stream,
        progress=_said(tell, "listening"),
    )
    draw_sync(clips, work / "sync.png", f"{request.encoder} on {request.root.name}")
    return results


def _indexed(root: Path, work: Path, tell: Tell | None) -> Catalog:
    """The catalogue of all media below a folder; made anew each time, as files may have changed."""
    if not root.is_dir():
        raise ConfigError(f"no folder {root}; give one of videos with sound by --root")
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{root.name}.parquet"
    index_sources([str(root)], path, progress=_said(tell, "indexing"))
    return Catalog.open(path)
