"""Crops of sound, and sound with its picture, under one and the same DataLoader."""

import contextlib
import importlib
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avrep.media.catalog import Catalog
from benchmarks import peers_plain, sound
from benchmarks.machine import describe_machine
from benchmarks.measure import in_child
from benchmarks.prepare import SYNTHETIC, folder_catalog, synthetic_catalog
from benchmarks.results import SuiteResult
from benchmarks.rounds import Entry, run_rounds
from benchmarks.sound import SoundReader
from benchmarks.workload import Job

# More than the quickest reader gets through while it is timed.
_NUM_CROPS = 6000
_BATCH_ITEMS = 4
_FOLDERS = ("speech/sentences", "sound")

SOUND = (
    SoundReader(name="DataLoader, PyAV", read=sound.with_pyav),
    SoundReader(name="DataLoader, torchcodec", read=sound.with_torchcodec, needs="torchcodec"),
    SoundReader(name="DataLoader, torchaudio", read=sound.with_torchaudio, needs="torchcodec"),
    SoundReader(name="DataLoader, soundfile", read=sound.with_soundfile, needs="soundfile"),
    SoundReader(name="DataLoader, avrep's decoder", read=sound.with_avrep),
)
BOTH = (
    SoundReader(
        name="DataLoader, PyAV",
        read=sound.picture_with(peers_plain.read_with_pyav, sound.with_pyav),
    ),
    SoundReader(
        name="DataLoader, torchcodec",
        read=sound.picture_with(peers_plain.read_with_torchcodec, sound.with_torchcodec),
        needs="torchcodec",
    ),
    SoundReader(
        name="DataLoader, decord and PyAV",
        read=sound.picture_with(peers_plain.read_with_decord, sound.with_pyav),
        needs="decord",
    ),
    SoundReader(name="DataLoader, avrep's decoder", read=sound.with_avrep),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    name: str
    jobs: list[Job]
    num_items: int
    """In a pass."""
    readers: tuple[SoundReader, ...]


def run_sound(work: Path, *, quick: bool) -> SuiteResult:
    """Check that all give the same sound, then measure them in turns."""
    made = describe_machine()
    absent: dict[str, str] = {}
    import_decoders()
    checks: dict[str, Any] = {}
    entries: list[Entry] = []
    for task in _tasks(work, absent):
        for reader in task.readers:
            where = f"{reader.name} ({task.name})"
            try:
                if reason := reader.missing():
                    raise RuntimeError(reason)
                checks[where] = in_child(_check, reader, task)
            except RuntimeError as error:
                absent[where] = str(error)[:300]
                continue
            entries.append(
                Entry(
                    workload=task.name,
                    contender=reader.name,
                    open=partial(peers_plain.loader, reader.read, task.jobs, _BATCH_ITEMS),
                    batches_per_pass=task.num_items // _BATCH_ITEMS,
                    clips_per_batch=_BATCH_ITEMS,
                )
            )
    num_rounds, min_s = (2, 0.5) if quick else (3, 1.0)
    measured = run_rounds(entries, num_rounds, min_s)
    return SuiteResult(
        suite="sound",
        made=made,
        settings={"num_rounds": num_rounds, "window_s": min_s, "rate_hz": sound.RATE_HZ},
        cells=tuple(measured.cells),
        absent=absent | measured.absent,
        checks=checks,
    )


def import_decoders() -> None:
    """What takes seconds to import, every child that is forked has then."""
    for name in ("torchaudio", "torchcodec.decoders", "torchcodec.transforms", "decord"):
        with contextlib.suppress(ImportError, RuntimeError, OSError):
            importlib.import_module(name)


def _tasks(work: Path, absent: dict[str, str]) -> list[_Task]:
    tasks = []
    for folder in _FOLDERS:
        name = f"sound: {folder}"
        path = folder_catalog(work, folder)
        if path is None:
            absent[name] = "no real sounds here: set AVREP_MEDIA to their folder"
            continue
        tasks.append(_task(name, Catalog.open(path), SOUND, with_picture=False))
    both = Catalog.open(synthetic_catalog(work))
    tasks.append(_task(f"picture and sound: {SYNTHETIC}", both, BOTH, with_picture=True))
    return tasks


def _task(
    name: str, catalog: Catalog, readers: tuple[SoundReader, ...], *, with_picture: bool
) -> _Task:
    rows = [
        row
        for row, item in enumerate(catalog)
        if item.audio is not None and item.duration_s > sound.CROP_S + 0.2
    ]
    rows = rows[: len(rows) // _BATCH_ITEMS * _BATCH_ITEMS]
    num_passes = -(-_NUM_CROPS // max(1, len(rows)))
    jobs = sound.crops(catalog, rows, num_passes, with_picture=with_picture)
    return _Task(name=name, jobs=jobs, num_items=len(rows), readers=readers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundAgreement:
    """How a reader's sound compares with avrep's own of the same crops."""

    num_crops: int
    snr_db: float
    """Median over crops: the power of avrep's sound over that of the difference."""
    lag_ms: float
    """The largest shift, of either sign, at which a crop resembles avrep's most."""


def compare(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Signal to noise in dB, and the shift in ms at which the two resemble each other most."""
    noise = max(float(np.square(ours - theirs).mean()), 1e-20)
    snr_db = 10 * np.log10(max(float(np.square(ours).mean()), 1e-20) / noise)
    size = 2 * len(ours)
    product = np.fft.rfft(theirs, size) * np.conj(np.fft.rfft(ours, size))
    place = int(np.argmax(np.fft.irfft(product, size)))
    lag = place - size if place > len(ours) else place
    return float(snr_db), 1e3 * lag / sound.RATE_HZ


def _check(reader: SoundReader, task: _Task) -> dict[str, Any]:
    torch.set_num_threads(1)
    found = []
    for job in islice(task.jobs, task.num_items):
        ours, theirs = (read(job)[-1].numpy() for read in (sound.with_avrep, reader.read))
        if ours.any():
            found.append(compare(ours, theirs))
    return asdict(
        SoundAgreement(
            num_crops=len(found),
            snr_db=float(np.median([snr_db for snr_db, _ in found])),
            lag_ms=max((lag_ms for _, lag_ms in found), key=abs),
        )
    )
