"""Which of two clips is as fast as a third: RSPNet's own question, asked of held-out videos."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from avrep.assemble import build_objective, open_catalog
from avrep.augment.eval_crops import crop_views
from avrep.config import RunConfig
from avrep.evaluate import crop_config, find_task
from avrep.objectives.rspnet import Rspnet
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import plain_stream
from avrep.report.progress import count_progress
from avrep.trained import load_trained, read_run_config
from avrep.transfer import to_device
from avrep.types import Batch
from evidence.cells import Cell
from evidence.motion import motion_cell, train_video
from evidence.training import TrainedRun

_NUM_DRAWS = 4
"""Of each video: a query and its two keys."""


def measure_speed(work: Path, out: Path, seed: int) -> list[Cell]:
    """Train RSPNet on the synthetic corpus; ask it for relative speed and for motion."""
    del out  # There is nothing to draw.
    run = train_video(work, "rspnet", seed)
    return [speed_cell(run, seed), motion_cell("rspnet", run, seed)]


@torch.inference_mode()
def speed_cell(run: TrainedRun, seed: int) -> Cell:
    """How often the key of the query's speed is the nearer one: trained, untrained and hand-made."""
    config = read_run_config(run.folder)
    trained, untrained = _rspnet(config), _rspnet(config)
    load_trained(run.folder, trained)
    keys: list[str] = []
    clusters: list[str] = []
    hits: dict[str, list[Tensor]] = {"trained": [], "untrained": [], "baseline": []}
    crops = crop_config(config, trained)
    for number, batch in _draws(config, trained):
        keys += [f"{key}, draw {number}" for key in batch.keys]
        clusters += batch.keys
        clips = [
            crop_views(to_device(view.video, torch.device("cpu")), view.size_px, crops)[:, 0]
            for view in batch.views
            if view.video is not None
        ]
        hits["baseline"].append(is_nearer(*map(mean_change, clips)))
        for name, objective in (("trained", trained), ("untrained", untrained)):
            hits[name].append(is_nearer(*(objective.query_network(clip)[1] for clip in clips)))
    values = {name: torch.cat(parts).double().tolist() for name, parts in hits.items()}
    return Cell(
        method="rspnet",
        question="relative speed, nearer of two clips",
        seed=seed,
        keys=keys,
        clusters=clusters,
        trained=values["trained"],
        untrained=values["untrained"],
        baseline=values["baseline"],
        baseline_name="the clip with the nearer mean absolute frame difference",
        chance=0.5,
        facts=run.facts,
    )


def is_nearer(query: Tensor, same_speed: Tensor, other_speed: Tensor) -> Tensor:
    """bool[b]: which queries lie nearer to the key of their own speed; a tie counts as wrong.

    Args:
        query: float[b d].
        same_speed: float[b d].
        other_speed: float[b d].
    """
    to_same, to_other = ((query - key).norm(dim=1) for key in (same_speed, other_speed))
    return to_same < to_other


def mean_change(clips: Tensor) -> Tensor:
    """float[b 1]: the mean absolute difference of neighbouring frames of float[b 3 t h w]."""
    return clips.diff(dim=2).abs().mean(dim=(1, 2, 3, 4))[:, None]


def _rspnet(config: RunConfig) -> Rspnet:
    objective = build_objective(config)
    if not isinstance(objective, Rspnet):
        raise TypeError(f"relative speed is asked of RSPNet, not of {config.objective.kind}")
    objective.eval()
    return objective


def _draws(config: RunConfig, objective: Rspnet) -> Iterator[tuple[int, Batch]]:
    """Each held-out video several times, with the number of the time: what the run's sampler draws."""
    catalog, rows = open_catalog(config.data), find_task(config).test
    with count_progress("asking for relative speed", "draws") as progress:
        for number in range(_NUM_DRAWS):
            # The same draws for each training seed.
            sweep = Sweep(seed=number, rows=rows, batch_size=config.evaluation.batch_size)
            source = StreamSource(
                catalog=catalog,
                plan=sweep,
                specs=objective.view_specs(),
                decoder=config.data.decoder,
                limits=config.data.limits,
                storage=config.data.storage,
            )
            with plain_stream(source, range(sweep.num_steps)) as stream:
                for batch in stream:
                    yield number, batch
            progress(number + 1, _NUM_DRAWS)
