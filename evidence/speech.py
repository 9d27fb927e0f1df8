"""Masked sound: which digit is spoken, told by a probe that never heard the speaker.

Speakers are left out one at a time: the probe is fitted and its regularisation chosen on the others.
Pretraining hears all recordings, those of the speaker left out as well, without any label: what is
measured is an encoder that knows the voices, not one that meets them for the first time.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.evaluation.features_table import Vectors
from avrep.evaluation.linear import LinearProbeConfig, linear_probe
from avrep.labelling.corpus import label_corpus
from avrep.labelling.job import LabelConfig
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.label_store import LabelStore
from avrep.media.synth_write import write_wav
from avrep.media.whole_sound import read_whole_sound
from avrep.models.log_mel import RATE_HZ, LogMelConfig, log_mel, num_frames_each
from avrep.models.spectrogram_vit import SpectrogramVit
from avrep.models.waveform import Waveform
from avrep.trained import load_encoder
from evidence.cells import Cell
from evidence.corpora import folder_catalog, media_folder
from evidence.training import TrainedRun, train_run

LAYER = 3
"""Of four, for every method: the one at which HuBERT had been measured before."""
CORPUS = "speech/fsdd"
"""Below the folder of real media."""
_BATCH = 100
_PROBE = LinearProbeConfig(l2_grid=(0.1, 0.01, 0.001))


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Recordings of spoken digits; the same place of every field is the same recording."""

    keys: tuple[str, ...]
    sounds: tuple[Tensor, ...]
    """float32[s] each, at 16 kHz."""
    digits: tuple[str, ...]
    speakers: tuple[str, ...]


def measure_digits(method: str, work: Path, pictures: Path, seed: int) -> list[Cell]:
    """Train a method on the recordings, and probe it, its beginnings and log-mels for digits.

    Args:
        method: the recipe's name.
        work: the folder of all runs.
        pictures: not used.
        seed: the run's.
    """
    del pictures
    catalog = digits_catalog(work)
    return [_digit_cell(method, train_run(work, method, catalog, seed), catalog, seed)]


def measure_hubert(work: Path, pictures: Path, seed: int) -> list[Cell]:
    """The same of HuBERT's two iterations: targets from MFCCs, then from a layer of the first."""
    del pictures
    catalog = digits_catalog(work)
    first = train_hubert(work, catalog, seed)
    second = _train_iteration(
        work, catalog, seed, work / "labels" / first.folder.name, first.folder
    )
    return [
        _digit_cell("hubert", first, catalog, seed),
        _digit_cell("hubert, second iteration", second, catalog, seed),
    ]


def train_hubert(work: Path, catalog: Path, seed: int) -> TrainedRun:
    """HuBERT's first iteration, on clusters of MFCCs.

    Args:
        work: the folder of all runs.
        catalog: from `digits_catalog`.
        seed: the run's.
    """
    return _train_iteration(work, catalog, seed, work / "labels" / "mfcc", None)


def _train_iteration(
    work: Path, catalog: Path, seed: int, labels: Path, first: Path | None
) -> TrainedRun:
    """One iteration: 100 clusters of standardised features, and HuBERT trained on them."""
    clusters = LabelConfig(num_clusters=100, standardise=True, run=first, layer=LAYER)
    label_corpus(catalog, labels, clusters)
    store = LabelStore.open(labels)
    targets = f"objective.labels={labels}", f"objective.label_rate_hz={store.facts.rate_hz}"
    iteration = "-second" if first else ""
    return train_run(work, "hubert", catalog, seed, *targets, iteration=iteration)


def _digit_cell(method: str, run: TrainedRun, catalog: Path, seed: int) -> Cell:
    recordings = read_digits(catalog)

    def right(features: Vectors) -> list[float]:
        return hits_left_out(features, recordings.digits, recordings.speakers).tolist()

    trained, untrained = (
        right(layer_statistics(_sound_encoder(run.folder, trained=flag), recordings.sounds))
        for flag in (True, False)
    )
    pairs = zip(recordings.speakers, recordings.digits, strict=True)
    return Cell(
        method=method,
        question="which digit is spoken, by a speaker whom the probe never heard",
        seed=seed,
        keys=list(recordings.keys),
        # One speaker's recordings of one digit were made in a row and are nearly the same.
        clusters=[f"{speaker} {digit}" for speaker, digit in pairs],
        trained=trained,
        untrained=untrained,
        baseline=right(log_mel_statistics(recordings.sounds)),
        baseline_name="mean and standard deviation of 128 log-mel bands, the same probe",
        chance=0.1,
        note=_note(recordings),
        facts=run.facts,
    )


def digits_catalog(work: Path) -> Path:
    """The recordings at 16 kHz, so that training need not resample them each time they are heard."""
    folder, catalog = work / "fsdd_16k", work / "fsdd_16k.parquet"
    if not catalog.is_file():
        recorded = Catalog.open(folder_catalog(work, CORPUS))
        (folder / "wav").mkdir(parents=True, exist_ok=True)
        for item in recorded:
            sound = read_whole_sound(item, recorded.root, RATE_HZ).audio
            if sound is not None:
                write_wav(folder / item.key, sound, rate_hz=RATE_HZ)
        index_sources([str(folder)], catalog)
    return catalog


def read_digits(catalog_path: Path) -> Digits:
    """All recordings of the Free Spoken Digit Dataset, in the order of its table.

    Args:
        catalog_path: from `digits_catalog`.
    """
    with (media_folder(CORPUS) / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sounds = _sounds(catalog_path)
    return Digits(
        keys=tuple(row["file"] for row in rows),
        sounds=tuple(sounds[row["file"]] for row in rows),
        digits=tuple(row["digit"] for row in rows),
        speakers=tuple(row["speaker"] for row in rows),
    )


def hits_left_out(
    features: Vectors, labels: Sequence[str], groups: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Whether a probe that was fitted and tuned on the other groups gets each row right.

    Args:
        features: float32[n d].
        labels: n class names.
        groups: n names; three different ones or more, so that there is one to tune on.

    Returns:
        float64[n] of zeros and ones.
    """
    names, wanted = np.asarray(groups), np.asarray(labels)
    hits = np.zeros(len(names))
    for left_out in np.unique(names):
        test = names == left_out
        found = linear_probe(
            features[~test],
            wanted[~test].tolist(),
            names[~test].tolist(),
            features[test],
            config=_PROBE,
            seed=0,
        )
        hits[test] = found.predictions == wanted[test]
    return hits


@torch.inference_mode()
def layer_statistics(encoder: SpectrogramVit | Waveform, sounds: Sequence[Tensor]) -> Vectors:
    """float32[n 2d]: mean and standard deviation over time of a sound's `LAYER`-th hidden state."""
    rows = []
    for clips, num_samples in _batches(sounds):
        states, num_places = encoder.hidden_states(clips, num_samples)
        rows.append(_statistics(states[LAYER], num_places))
    return torch.cat(rows).numpy()


def log_mel_statistics(sounds: Sequence[Tensor]) -> Vectors:
    """float32[n 256]: mean and standard deviation over time of each band, without any learning."""
    rows = []
    for clips, num_samples in _batches(sounds):
        num_frames = num_frames_each(num_samples)
        config = LogMelConfig(num_frames=int(num_frames.max()))
        rows.append(_statistics(log_mel(clips, config, num_samples), num_frames))
    return torch.cat(rows).numpy()


def _statistics(states: Tensor, lengths: Tensor) -> Tensor:
    """float32[b 2d] of float[b n d], each row over its own first places."""
    own = (torch.arange(states.shape[1]) < lengths[:, None])[..., None]
    count = lengths[:, None].clamp(min=1)
    mean = (states * own).sum(dim=1) / count
    variance = ((states - mean[:, None]) * own).square().sum(dim=1) / count
    return torch.cat([mean, variance.sqrt()], dim=1)


def _batches(sounds: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Sounds with silence behind them, float32[b s], and how long each is, int64[b]."""
    parts = [sounds[first : first + _BATCH] for first in range(0, len(sounds), _BATCH)]
    return [
        (
            torch.nn.utils.rnn.pad_sequence(list(part), batch_first=True),
            torch.tensor([len(sound) for sound in part]),
        )
        for part in parts
    ]


@cache
def _sounds(catalog_path: Path) -> dict[str, Tensor]:
    catalog = Catalog.open(catalog_path)
    clips = {item.key: read_whole_sound(item, catalog.root, RATE_HZ).audio for item in catalog}
    return {key: torch.from_numpy(sound) for key, sound in clips.items() if sound is not None}


def _sound_encoder(run: Path, *, trained: bool) -> SpectrogramVit | Waveform:
    encoder = load_encoder(run, "audio", trained=trained)
    assert isinstance(encoder, SpectrogramVit | Waveform)
    return encoder


def _note(recordings: Digits) -> str:
    return (
        f"layer {LAYER} of 4, mean and standard deviation over time, standardised, logistic "
        f"regression; {len(recordings.keys)} recordings of {len(set(recordings.speakers))} "
        "speakers, each left out in turn by the probe but not by the pretraining, which hears all "
        "recordings without labels; intervals over speaker and digit, so they speak of these speakers"
    )


SPEECH = {
    **{method: partial(measure_digits, method) for method in ("ssast", "audiomae", "wav2vec2")},
    "hubert": measure_hubert,
}
"""The methods that are measured so."""
