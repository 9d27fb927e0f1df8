"""Synchrony where the sound's offset is drawn: found by classification, or by distances.

The offset of every clip is drawn by the sampler before anything is decoded, as in the evaluation
`avrep evaluate RUN --task sync`, whose count this is.
"""

from functools import partial
from pathlib import Path

from avrep.evaluation.sync import OffsetScores
from avrep.evaluation.sync_results import SyncClips
from avrep.media.catalog import Catalog
from avrep.sync_task import SyncTaskConfig, measure_sync
from evidence.cells import Cell
from evidence.corpora import synthetic_catalog
from evidence.synchrony import BASELINE
from evidence.training import TrainedRun, train_run

# Of items of 3 s; Synchformer keeps the clips that it was trained on.
_CLIPS = SyncTaskConfig(split="test", clip_s=1.92, max_offset_s=0.48, num_offsets=13)


def measure_syncnet(work: Path, pictures: Path, seed: int) -> list[Cell]:
    """Train SyncNet on synthetic videos, and find the offsets of others by the nearest shift."""
    del pictures
    catalog = synthetic_catalog(work)
    return offset_cells("syncnet", train_run(work, "syncnet", catalog, seed), catalog, seed)


def measure_synchformer(work: Path, pictures: Path, seed: int) -> list[Cell]:
    """Train Synchformer's second stage on the frozen encoders of segment AVCLIP's run of that seed."""
    del pictures
    catalog = synthetic_catalog(work)
    first = train_run(work, "segment_avclip", catalog, seed)
    start = (f"start.run={first.folder}", "start.frozen=true")
    run = train_run(work, "synchformer", catalog, seed, *start)
    return offset_cells("synchformer", run, catalog, seed)


def offset_cells(method: str, run: TrainedRun, catalog: Path, seed: int) -> list[Cell]:
    """Which of the offsets each held-out clip was drawn with; and with another clip's pictures."""
    held_out = Catalog.open(catalog)
    trained, untrained = (
        measure_sync(run.folder, held_out, _CLIPS, trained=is_trained)[1]
        for is_trained in (True, False)
    )
    grid_s = trained.scores.offsets_s
    if trained.by_hand is None:
        raise ValueError(f"{method}'s clips are too short for the count by hand")
    if trained.others is None or untrained.others is None:
        raise ValueError(f"{method} is measured on one clip: there are no other's pictures")
    told = partial(
        Cell,
        method=method,
        seed=seed,
        keys=list(trained.keys),
        clusters=list(trained.keys),
        chance=1 / len(grid_s),
        facts=run.facts,
    )
    return [
        told(
            question=f"which of {len(grid_s)} drawn offsets the sound has",
            trained=found(trained, trained.scores),
            untrained=found(untrained, untrained.scores),
            baseline=found(trained, trained.by_hand),
            baseline_name=BASELINE,
            note=f"synthetic videos, offsets {grid_s[1] - grid_s[0]:.2f} s apart up to "
            f"{max(grid_s):.2f} s either way; only an exact hit counts",
        ),
        told(
            question=f"control: {len(grid_s)} offsets with another item's pictures, where none can "
            "be right",
            trained=found(trained, trained.others),
            untrained=found(untrained, untrained.others),
            note="above chance would mean that something other than synchrony gives the offset away",
        ),
    ]


def found(clips: SyncClips, scores: OffsetScores) -> list[float]:
    """1 for each clip whose likeliest offset is the one that it was drawn with, else 0."""
    return (scores.best() == clips.numbers).double().tolist()


DRAWN_OFFSETS = {"syncnet": measure_syncnet, "synchformer": measure_synchformer}
"""The methods that are measured so."""
