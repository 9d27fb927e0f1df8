"""Sound, alone and with its picture: two seconds at 16 kHz, mono.

avrep's decoder is measured under the same DataLoader as its peers: this compares decoders, not
streams. What differs is said where it matters: only avrep places sound and picture on one clock, and
gives as many samples as were asked for at a file's end.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.decode import decode_views
from avrep.rng import Stage, at
from avrep.types import Address, ClipTimes, Geometry
from benchmarks.peers_plain import ReadItem
from benchmarks.workload import SHORT_SIDE_PX, Job

RATE_HZ, CROP_S = 16000, 2.0
NUM_SAMPLES = round(RATE_HZ * CROP_S)
_NUM_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundReader:
    name: str
    read: ReadItem
    needs: str | None = None
    """A package that may be missing."""

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"{self.needs} is not installed"


def crops(catalog: Catalog, rows: list[int], num_passes: int, *, with_picture: bool) -> list[Job]:
    """A crop of each item, drawn uniformly, pass after pass."""
    found = []
    for number in range(num_passes):
        for row in rows:
            item = catalog[row]
            start_s = at(0, Stage.SAMPLE, Address(number, row)).uniform(0, item.duration_s - CROP_S)
            frames_s = np.zeros(0)
            if with_picture:
                frames_s = start_s + (np.arange(_NUM_FRAMES) + 0.5) * CROP_S / _NUM_FRAMES
            view = ClipTimes(frames_s=frames_s, audio_s=(start_s, start_s + CROP_S))
            path = shards.shard_url(item, catalog.root)
            found.append(Job(path=path, item=item, views=(view,)))
    return found


def with_avrep(job: Job) -> tuple[Tensor, ...]:
    short_side_px = SHORT_SIDE_PX if len(job.views[0].frames_s) else None
    geometry = Geometry(short_side_px=short_side_px, rate_hz=RATE_HZ)
    (clip,) = decode_views(Path(job.path).read_bytes(), job.views, geometry)
    parts = (clip.video, clip.audio) if short_side_px else (clip.audio,)
    return tuple(torch.from_numpy(part) for part in parts if part is not None)


def with_pyav(job: Job) -> tuple[Tensor, ...]:
    """Seek, decode to the end of the crop, resample, cut."""
    import av

    start_s, end_s = _interval(job)
    pieces: list[np.ndarray] = []
    first_s: float | None = None
    with av.open(job.path) as container:
        stream = container.streams.audio[0]
        container.seek(max(0, int(start_s * 1e6) - 100_000))
        # Told to give mono, FFmpeg makes floats louder than the mean of the channels.
        resampler = av.AudioResampler(format="fltp", rate=RATE_HZ)
        for frame in container.decode(stream):
            first_s = frame.time if first_s is None else first_s
            pieces += [part.to_ndarray().mean(axis=0) for part in resampler.resample(frame)]
            if (frame.time or 0.0) >= end_s:
                break
    # The resampler holds back a few samples, which decoding past the end makes up for.
    skipped = max(0, round((start_s - (first_s or 0.0)) * RATE_HZ))
    return (_of_length(torch.from_numpy(np.concatenate(pieces)[skipped:])),)


def with_torchcodec(job: Job) -> tuple[Tensor, ...]:
    from torchcodec.decoders import AudioDecoder

    decoder = AudioDecoder(job.path, sample_rate=RATE_HZ)
    samples = decoder.get_samples_played_in_range(*_interval(job))
    return (_of_length(samples.data.mean(dim=0)),)


def with_torchaudio(job: Job) -> tuple[Tensor, ...]:
    """`torchaudio.load` of the crop's frames, which needs the file's own rate first."""
    import torchaudio

    rate_hz = job.item.audio.rate_hz if job.item.audio else RATE_HZ
    start_s, end_s = _interval(job)
    loaded, rate_hz = torchaudio.load(
        job.path, frame_offset=int(start_s * rate_hz), num_frames=int((end_s - start_s) * rate_hz)
    )
    resampled = torchaudio.functional.resample(loaded.mean(dim=0), rate_hz, RATE_HZ)
    return (_of_length(resampled),)


def with_soundfile(job: Job) -> tuple[Tensor, ...]:
    import torchaudio

    soundfile = importlib.import_module("soundfile")
    start_s, _ = _interval(job)
    with soundfile.SoundFile(job.path) as file:
        rate_hz = file.samplerate
        file.seek(int(start_s * rate_hz))
        loaded = torch.from_numpy(file.read(int(CROP_S * rate_hz), "float32", always_2d=True))
    return (_of_length(torchaudio.functional.resample(loaded.mean(dim=1), rate_hz, RATE_HZ)),)


def picture_with(read_picture: ReadItem, read_sound: ReadItem) -> ReadItem:
    """Picture and sound of the same span, each by its own pass over the file."""

    def read(job: Job) -> tuple[Tensor, ...]:
        return (*read_picture(job), *read_sound(job))

    return read


def _interval(job: Job) -> tuple[float, float]:
    interval_s = job.views[0].audio_s
    if interval_s is None:
        raise ValueError(f"no sound is wanted of {job.item.key}")
    return interval_s


def _of_length(samples: Tensor) -> Tensor:
    """Exactly as many samples as a crop has: cut, or filled with silence."""
    samples = samples[:NUM_SAMPLES]
    return torch.nn.functional.pad(samples, (0, NUM_SAMPLES - len(samples)))
