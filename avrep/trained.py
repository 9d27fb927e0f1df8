"""What a run left: its config, its checkpoints, its encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from avrep.assemble import build_objective, checkpoint_store
from avrep.config import RunConfig, differences, load_config
from avrep.errors import ConfigError
from avrep.models.features import Encoder
from avrep.objectives.base import Objective
from avrep.training.checkpoint import RunState, load_checkpoint
from avrep.training.checkpoint_store import Checkpoint


def read_run_config(run_dir: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The config that a run was made with, with `key=value` overrides.

    Raises:
        ConfigError: the folder holds no run, or see `load_config`.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"no run at {run_dir}; make one: avrep train CONFIG --out {run_dir}")
    return load_config(path, overrides)


def checkpoints(run_dir: Path) -> list[Checkpoint]:
    """Whole checkpoints of a run, oldest first; none where there is no run.

    Raises:
        ConfigError: its config is not one.
        ShardError: the store that has them cannot be asked.
    """
    if not (run_dir / "config.yaml").is_file():
        return []
    return checkpoint_store(read_run_config(run_dir), run_dir).checkpoints()


def latest_checkpoint(run_dir: Path) -> Checkpoint:
    """The newest whole checkpoint of a run.

    Raises:
        ConfigError: there is no run, or it has none.
        ShardError: the store that has them cannot be asked.
    """
    return checkpoint_store(read_run_config(run_dir), run_dir).latest()


def load_trained(run_dir: Path, objective: Objective) -> RunState:
    """Put the weights of a run's newest checkpoint into an objective of its config.

    Raises:
        ConfigError, ShardError: see `latest_checkpoint` and `load_checkpoint`.
    """
    return load_checkpoint(latest_checkpoint(run_dir), objective)


def load_encoder(
    run_dir: Path | str, kind: Literal["video", "audio"] = "video", *, trained: bool = True
) -> Encoder:
    """A run's encoder, in evaluation mode, on the CPU.

    Args:
        run_dir: a run's folder.
        kind: which of its encoders.
        trained: with the newest checkpoint's weights; otherwise as the run began, for comparison.

    Returns:
        A module that gives `Features`: of video, float32[b 3 t h w], normalised as the run's
        augmentation does; of sound, float32[b s], mono at 16 kHz.

    Raises:
        ConfigError: the folder holds no run, no checkpoint, or no such encoder.
    """
    run_dir = Path(run_dir)
    config = read_run_config(run_dir)
    objective = build_objective(config)
    encoders = objective.evaluated()
    if kind not in encoders:
        raise ConfigError(
            f"{run_dir} trained no {kind} encoder, but {' and '.join(sorted(encoders))}: "
            f"load_encoder(run, {min(encoders)!r})"
        )
    if trained:
        load_trained(run_dir, objective)
    else:
        start_encoders(config, objective)
    return encoders[kind].eval()


def start_encoders(config: RunConfig, objective: Objective) -> None:
    """Put the weights in place that `start` says the encoders begin with, and projections behind them.

    Raises:
        ConfigError: the other run is none, or its encoders are others.
    """
    if config.start is None:
        return
    run_dir = Path(config.start.run)
    other = read_run_config(run_dir).model_dump(mode="json")
    own = config.model_dump(mode="json")
    for kind, encoder in objective.encoders().items():
        name = f"{kind}_encoder"
        if other[name] is None:
            raise ConfigError(f"start.run: {run_dir} has no {kind} encoder, and this run needs one")
        changed = differences(other[name], own[name], f"{name}.")
        if changed:
            listed = ", ".join(f"{path}: {change}" for path, change in changed.items())
            raise ConfigError(
                f"start.run: the {kind} encoder of {run_dir} is another one ({listed}); "
                f"make {name} as it is there"
            )
        trained = load_encoder(run_dir, "audio" if kind == "audio" else "video")
        encoder.load_state_dict(trained.state_dict())
    if objective.projections():
        first = build_objective(read_run_config(run_dir))
        load_trained(run_dir, first)
        for kind, projection in first.projections().items():
            own = objective.projections().get(kind)
            if own is not None and own.weight.shape == projection.weight.shape:
                own.load_state_dict(projection.state_dict())
    objective.restart_teachers()
