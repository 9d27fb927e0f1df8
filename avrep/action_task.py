"""Action recognition with a frozen encoder: from a data set's folder to results that can be quoted.

WORK/
    catalogs/           what was found in the videos' files
    features/           of every encoder and kind of clips; what is there is not made again
    near-duplicates/    pairs of test and train videos that look the same, a file for each split
"""

from collections.abc import Sequence
from pathlib import Path

from avrep.assemble import build_objective, use_threads
from avrep.dense_clips import crop_config, dense_spec
from avrep.evaluation.action.catalog import open_splits
from avrep.evaluation.action.data import ActionTask
from avrep.evaluation.action.embed_videos import Videos
from avrep.evaluation.action.measure import ActionTaskConfig, MeasuredSplits, Tell, said
from avrep.evaluation.action.results import results_over_splits
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.action.video_encoder import VideoEncoder, encoder_of_module
from avrep.evaluation.task_result import TaskResult
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.sampling.clips import ClipConfig, DenseConfig
from avrep.trained import load_encoder, read_run_config
from avrep.training import parallel


def encoder_of_run(
    run_dir: Path, *, trained: bool = True, overrides: Sequence[str] = ()
) -> VideoEncoder:
    """A run's encoder of pictures with the clips that it was trained on, on the run's device.

    Torch is given the threads that the run's config says.

    Args:
        run_dir: the run's folder.
        trained: with the newest checkpoint's weights; otherwise as the run began.
        overrides: of the run's config, `key=value`: `evaluation.num_frames` and
            `evaluation.crop_px` decide the clips.

    Raises:
        ConfigError: no such run, no checkpoint, or no encoder of pictures.
    """
    config = read_run_config(run_dir, overrides)
    use_threads(config)
    objective = build_objective(config)
    spec = dense_spec(config, objective, 1)
    assert isinstance(spec.sampler, DenseConfig)
    encoder = load_encoder(run_dir, trained=trained)
    return encoder_of_module(
        encoder.to(parallel.pick_device(config.train.device)),
        str(run_dir) if trained else f"untrained:{run_dir}",
        clip=ClipConfig(
            num_frames=spec.sampler.num_frames, stride=spec.sampler.stride, fps=spec.sampler.fps
        ),
        geometry=spec.geometry,
        crops=crop_config(config, objective),
    )


def measure_action(
    encoder: VideoEncoder,
    root: Path | str,
    task: ActionTask,
    work: Path,
    config: ActionTaskConfig | None = None,
    *,
    folds: Sequence[int] | None = None,
    group_scope: GroupScope = "class",
    open_stream: OpenStream = plain_stream,
    tell: Tell | None = None,
) -> tuple[TaskResult, ...]:
    """Measure a frozen encoder by every protocol asked for, on every split asked for.

    Nothing is chosen on test videos. A call that was killed goes on where it stopped, and another
    one finds catalogue and features made.

    Args:
        encoder: of a run (`encoder_of_run`), or any function (`encoder_of_function`).
        root: the data set's folder.
        task: which data set, see `read_action_data`.
        work: a folder for what is kept.
        config: the defaults if None.
        folds: which splits, from 1; all of them if None.
        group_scope: see `read_action_data`.
        open_stream: the plain stream, or Ray's.
        tell: told how far it is.

    Returns:
        Per protocol a result for each split and, of several splits, one of their mean.

    Raises:
        ConfigError: see `read_action_data`; or videos cannot be decoded, and may not be missing.
    """
    config = config or ActionTaskConfig()
    catalog, splits = open_splits(
        root,
        task,
        work,
        folds,
        group_scope=group_scope,
        allow_missing=config.allow_missing,
        progress=said(tell, "indexing"),
    )
    videos = Videos(
        catalog=catalog, work=work, open_stream=open_stream, batch_size=config.batch_size
    )
    measured = MeasuredSplits(encoder, videos, splits, config, tell)
    found = []
    for number in range(len(splits)):
        found.append(measured.split(number))
        if tell:
            tell("scoring splits", number + 1, len(splits))
    confidence = config.protocols.confidence
    return tuple(
        result
        for same in zip(*found, strict=True)
        for result in results_over_splits(
            task, encoder.facts, same, confidence=confidence, seed=config.seed
        )
    )
