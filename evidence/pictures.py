"""What masked autoencoders fill in, on held-out videos: input, mask and output side by side."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.assemble import build_objective, open_catalog
from avrep.augment.eval_crops import crop_views
from avrep.config import RunConfig
from avrep.evaluate import crop_config, dense_spec, find_task
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.masked_video import MaskedVideo
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import plain_stream
from avrep.trained import load_trained, read_run_config
from avrep.transfer import to_device
from avrep.types import Batch
from evidence.cells import Cell
from evidence.motion import motion_cell, train_video
from evidence.plot import plot_clips
from evidence.training import TrainedRun

_NUM_VIDEOS = 4


def measure_masked(method: str, work: Path, out: Path, seed: int) -> list[Cell]:
    """Train a masked autoencoder on the synthetic corpus, probe it, and draw what it fills in.

    The picture is `evidence_METHOD.png`, of the first seed.
    """
    run = train_video(work, method, seed)
    if seed == 0:
        draw_reconstructions(run, out / f"evidence_{method}.png")
    return [motion_cell(method, run, seed)]


def draw_reconstructions(run: TrainedRun, path: Path) -> None:
    """Draw some held-out clips: as they are, as the encoder saw them, and filled in.

    Raises:
        TypeError: the run is not a masked autoencoder's.
    """
    config = read_run_config(run.folder)
    objective = build_objective(config)
    if not isinstance(objective, MaskedVideo):
        raise TypeError(f"{config.objective.kind} fills in no pictures")
    load_trained(run.folder, objective)
    batch, video = _held_out_clips(config, objective)
    view = ViewTensors(video=video, pts_s=torch.from_numpy(batch.views[0].pts_s))
    made = objective.eval().reconstruct(
        BatchTensors(step=0, views=(view,), addresses=batch.addresses)
    )
    titles = [f"{labels['motion']}, {labels['speed']}" for labels in batch.labels]
    rows = (("input", made.frames), ("mask", made.seen), ("output", made.filled))
    plot_clips(titles, {name: pictures.numpy() for name, pictures in rows}, path)


def _held_out_clips(config: RunConfig, objective: MaskedVideo) -> tuple[Batch, Tensor]:
    """The first clip of each of some videos, under the fixed crop: float32[b 3 t h w]."""
    test = find_task(config).test
    rows = test[np.linspace(0, len(test) - 1, _NUM_VIDEOS).astype(int)]
    source = StreamSource(
        catalog=open_catalog(config.data),
        plan=Sweep(seed=0, rows=rows, batch_size=_NUM_VIDEOS),
        specs=(dense_spec(config, objective, 1),),
        decoder=config.data.decoder,
        limits=config.data.limits,
        storage=config.data.storage,
    )
    with plain_stream(source, range(1)) as stream:
        batch = next(stream)
    clips = batch.views[0]
    if clips.video is None:
        raise ValueError("a video without pictures cannot be filled in")
    pixels = to_device(clips.video, torch.device("cpu"))
    return batch, crop_views(pixels, clips.size_px, crop_config(config, objective))[:, 0]
