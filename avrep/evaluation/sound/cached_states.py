"""Hidden states on disk: computed once for an encoder and a task, whatever is trained on them.

FOLDER/states/KEY/3f/3f7a....npy      float16[l n d] of one recording

KEY is of the encoder's digest and of what the task does to recordings; a file's name is of the
recording's path, size, time of change, and part. Each file is whole or absent, so a job that was
killed goes on, and several may share a folder.

Each recording is computed alone, and what does not fit on disk is rounded all the same, so nothing
depends on what is there already, nor on how much may be.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avrep.errors import MediaError
from avrep.evaluation.sound.recordings import Recording, read_wave
from avrep.evaluation.sound.sound_task import SoundTask
from avrep.evaluation.sound.states import Crop, Prepare, cut_start, states_of
from avrep.evaluation.sound.upstream import HiddenStates, Remembered, Upstream, joined

MAX_BYTES = 200 << 30
_HEADER_BYTES = 128
_FLOAT16_MAX = float(np.finfo(np.float16).max)

States = npt.NDArray[np.float16] | npt.NDArray[np.float32]


def cached_states(
    upstream: Upstream, task: SoundTask[Any, Any], folder: Path, *, max_bytes: int = MAX_BYTES
) -> "CachedStates":
    """The states of a task's recordings, kept in `folder / "states"`: an `open_states`.

    Args:
        upstream: the encoder.
        task: whose `prepare` recordings go through.
        folder: several tasks may have the same.
        max_bytes: that files may take; recordings beyond are computed each time.
    """
    key = hashlib.sha256(f"{upstream.facts.digest} {task.prepared}".encode()).hexdigest()[:16]
    return CachedStates(upstream, task.prepare, folder / "states" / key, max_bytes)


class CachedStates:
    """Reads states from disk; a `ReadStates`. A crop is one of frames: see `settings`.

    Args:
        upstream: the encoder.
        prepare: what recordings go through.
        folder: of this encoder and this `prepare` alone.
        max_bytes: that its files may take.
    """

    settings = "float16, computed once, each recording alone; training hears crops of frames"
    """What differs from SUPERB's recipes, which crop the waveform and compute each time."""

    def __init__(self, upstream: Upstream, prepare: Prepare, folder: Path, max_bytes: int) -> None:
        self._upstream = upstream
        self._prepare = prepare
        self._folder = folder
        self._max_bytes = max_bytes
        self._num_bytes = sum(file.stat().st_size for file in folder.glob("??/*.npy"))
        self._num_left_out = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result should know, after `fill`."""
        if not self._num_left_out:
            return ()
        allowed = f"{self._max_bytes / 2**30:.3g} GiB"
        return (
            f"hidden states of {self._num_left_out} recordings were computed each time they were "
            f"asked for: {allowed} on disk have no room for them",
        )

    def __call__(self, recordings: Sequence[Recording], crop: Crop | None = None) -> HiddenStates:
        each = [self._read(recording) for recording in recordings]
        if crop is not None:
            wanted = max(1, crop.num_samples // self._upstream.frame_samples)
            starts = [
                cut_start(states.shape[1], wanted, place)
                for states, place in zip(each, crop.places, strict=True)
            ]
            cuts = zip(each, starts, strict=True)
            each = [states[:, start : start + wanted] for states, start in cuts]
        dtype = np.result_type(*each)
        batch = joined([torch.from_numpy(np.array(states, dtype)) for states in each])
        device = self._upstream.device
        return HiddenStates(states=batch.states.to(device), num_frames=batch.num_frames.to(device))

    def fill(
        self, recordings: Sequence[Recording], progress: Callable[[int, int], None] | None = None
    ) -> dict[Recording, str]:
        """Compute what is not there yet, until the limit is reached.

        Args:
            recordings: all that will be asked for.
            progress: told (recordings done, recordings in all).

        Returns:
            Those that cannot be decoded, and why. Beyond the limit nothing is decoded, nor found out.
        """
        self._num_left_out = 0
        is_full = False
        damaged: dict[Recording, str] = {}
        for number, recording in enumerate(recordings):
            place = self._place(recording)
            if not place.is_file():
                try:
                    is_full = is_full or not self._write(place, self._compute(recording))
                except MediaError as error:
                    damaged[recording] = error.reason
                self._num_left_out += is_full
            if progress:
                progress(number + 1, len(recordings))
        return damaged

    def without_encoder(self, recordings: Sequence[Recording]) -> "CachedStates":
        """The same for other processes, which need no encoder if all the recordings are on disk."""
        if not all(self._place(recording).is_file() for recording in recordings):
            return self
        light = Remembered(self._upstream)
        return CachedStates(light, self._prepare, self._folder, self._max_bytes)

    def _read(self, recording: Recording) -> States:
        place = self._place(recording)
        try:
            return np.load(place, mmap_mode="r", allow_pickle=False)
        # A file that is cut short, or none.
        except (FileNotFoundError, ValueError, EOFError):
            states = self._compute(recording)
            self._write(place, states)
            return states

    def _compute(self, recording: Recording) -> States:
        computed = states_of(self._upstream, [self._prepare(read_wave(recording))])
        states = computed.states[:, 0].float().cpu().numpy()
        if np.abs(states).max(initial=0) > _FLOAT16_MAX:
            return states
        return states.astype(np.float16)

    def _write(self, place: Path, states: States) -> bool:
        """Whether there was room for it."""
        if self._num_bytes + _HEADER_BYTES + states.nbytes > self._max_bytes:
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        # Other processes may write the same.
        partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
        try:
            with partial.open("wb") as file:
                np.save(file, states, allow_pickle=False)
        except OSError as error:
            partial.unlink(missing_ok=True)
            # What numpy says of a full disk names neither file nor fault.
            raise OSError(f"hidden states cannot be written to {self._folder}: {error}") from error
        self._num_bytes += partial.stat().st_size
        # Thousands of small files: not flushed one by one. What a loss of power leaves short is made
        # again when it is read.
        partial.replace(place)
        return True

    def _place(self, recording: Recording) -> Path:
        facts = recording.path.stat() if recording.path.exists() else None
        file = (recording.path.resolve(), facts and (facts.st_size, facts.st_mtime_ns))
        told = f"{file} {recording.start_s} {recording.end_s}"
        name = hashlib.sha256(told.encode()).hexdigest()[:32]
        return self._folder / name[:2] / f"{name}.npy"
