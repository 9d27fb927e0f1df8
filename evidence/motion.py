"""Which of eight motions a held-out video shows, by a linear probe on a frozen encoder."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avrep.evaluate import Embedder, find_task
from avrep.evaluation.embed import Embedding
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.scores import VideoScores
from avrep.evaluation.tasks import TaskItems
from avrep.models.features import Encoder, Features, check_video
from avrep.pipeline.stream import plain_stream
from avrep.report.progress import count_progress
from avrep.trained import load_encoder, read_run_config
from evidence.cells import Cell
from evidence.corpora import synthetic_catalog
from evidence.held import held_stream
from evidence.training import TrainedRun, train_run

_LABEL = "motion"
_CELLS = 4


class MotionGradients(Encoder):
    """The sums that optical flow is solved from, over each cell of a coarse grid: nothing is learned.

    With I the luma of a frame and t, x, y its differences along time, width and height, the means
    over each cell and all frames of I_x I_t, I_y I_t, I_t^2, I_x^2, I_y^2 and I_x I_y (Lucas and
    Kanade 1981).
    """

    def __init__(self) -> None:
        super().__init__(6 * _CELLS**2)

    def forward(self, clips: Tensor, /) -> Features:
        check_video(clips)
        luma = clips.mean(dim=1)
        along_t = luma.diff(dim=1)[:, :, 1:-1, 1:-1]
        middle = (luma[:, 1:] + luma[:, :-1]) / 2
        along_x = (middle[:, :, 1:-1, 2:] - middle[:, :, 1:-1, :-2]) / 2
        along_y = (middle[:, :, 2:, 1:-1] - middle[:, :, :-2, 1:-1]) / 2
        products = torch.stack(
            [
                along_x * along_t,
                along_y * along_t,
                along_t.square(),
                along_x.square(),
                along_y.square(),
                along_x * along_y,
            ],
            dim=1,
        )
        maps = functional.adaptive_avg_pool2d(products.mean(dim=2), _CELLS)
        tokens = maps.flatten(2).transpose(1, 2)
        return Features(tokens=tokens, grid=(1, _CELLS, _CELLS), pooled=maps.flatten(1))


def measure_motion(method: str, work: Path, out: Path, seed: int) -> list[Cell]:
    """Train a video method on the synthetic corpus, and probe it for motion."""
    del out  # There is nothing to draw.
    return [motion_cell(method, train_video(work, method, seed), seed)]


def train_video(work: Path, method: str, seed: int) -> TrainedRun:
    """Train a video method on the train part of the synthetic corpus."""
    return train_run(work, method, synthetic_catalog(work), seed, open_stream=held_stream)


def motion_cell(method: str, run: TrainedRun, seed: int) -> Cell:
    """Motion classes of the held-out videos: trained, untrained and hand-made on the same clips."""
    config = read_run_config(run.folder)
    task = find_task(config)
    encoders = {
        "trained": load_encoder(run.folder),
        "untrained": load_encoder(run.folder, trained=False),
        "baseline": MotionGradients(),
    }
    rows = np.concatenate([task.train, task.test])
    with count_progress(f"embedding for {method}", "items") as progress:
        embedder = Embedder(config, encoders, torch.device("cpu"), plain_stream, progress)
        embedding = embedder.plain(rows)
    scores = {name: _probed(task, embedding, name, config.seed) for name in encoders}
    found = scores["trained"]
    return Cell(
        method=method,
        question="motion class, linear probe",
        seed=seed,
        keys=list(found.keys),
        clusters=list(found.clusters),
        trained=found.values.tolist(),
        untrained=scores["untrained"].values.tolist(),
        baseline=scores["baseline"].values.tolist(),
        baseline_name=f"the sums that optical flow is solved from, in {_CELLS} x {_CELLS} cells",
        chance=found.chance,
        facts=run.facts,
    )


def _probed(task: TaskItems, embedding: Embedding, encoder: str, seed: int) -> VideoScores:
    in_test = np.isin(embedding.rows, task.test)
    train, test = (
        task.table(
            embedding.rows[chosen].tolist(),
            [embedding.keys[i] for i in np.flatnonzero(chosen)],
            embedding.features[encoder][chosen],
        )
        for chosen in (~in_test, in_test)
    )
    protocols = ProtocolConfig(protocols=("linear",))
    return next(
        score
        for score in score_features(train, test, _LABEL, config=protocols, seed=seed)
        if score.metric == "top1"
    )
