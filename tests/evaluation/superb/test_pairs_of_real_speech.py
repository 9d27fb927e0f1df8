"""Proves on real speech that verification, diarization and query by example make sense: what tells
voices or words apart scores better than what does not.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.recordings import Recording, read_wave
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.sound.states import states_of
from avrep.evaluation.sound.upstream import Upstream
from avrep.evaluation.superb.asv import verification_metrics
from avrep.evaluation.superb.qbe import run_query_by_example
from avrep.evaluation.superb.sd import SpeakerDiarization
from avrep.evaluation.superb.sox_effects import gain, trim_silence
from avrep.evaluation.superb.voxceleb1_trials import Trial, VerificationExample, compared
from avrep.evaluation.superb.x_vector import statistics_pooling
from evidence.tasks.archive import write_archive
from evidence.tasks.conversations import write_conversations
from tests.evaluation.superb.speech_frames import MelFrames, UntrainedWaveform, remembered

pytestmark = [pytest.mark.slow, pytest.mark.media]


def own_trials(fsdd: Path) -> tuple[VerificationExample, ...]:
    """The 600 trials that lie beside the recordings."""
    lines = [line.split() for line in (fsdd / "asv_trials.txt").read_text().splitlines()]
    trials = [Trial(first=a, second=b, is_target=said == "1") for said, a, b in lines]
    names = sorted({name for _, *pair in lines for name in pair})
    recordings = [
        Recording(key=name, path=fsdd / name, speaker=name.split("_")[1]) for name in names
    ]
    return compared(recordings, trials)


def embeddings(upstream: Upstream, waves: list[Tensor]) -> list[Tensor]:
    """Mean and deviation over time of the last layer, each number standardised over recordings."""
    pooled = []
    for wave in waves:
        states = states_of(upstream, [wave])
        pooled.append(statistics_pooling(states.states[-1], states.num_frames)[0])
    table = torch.stack(pooled)
    table = (table - table.mean(dim=0)) / (table.std(dim=0) + 1e-6)
    return list(torch.nn.functional.normalize(table, dim=1))


def test_statistics_of_log_mel_tell_speakers(media_root: Path) -> None:
    examples = own_trials(media_root / "speech/fsdd")
    waves = [trim_silence(gain(read_wave(example.recording))) for example in examples]
    drawn = np.random.default_rng(0).normal(size=(len(examples), 20))
    noise = [torch.from_numpy(row / np.linalg.norm(row)) for row in drawn]
    mel, untrained, chance = (
        verification_metrics(examples, vectors, seed=0)[0]
        for vectors in (
            embeddings(MelFrames(), waves),
            embeddings(UntrainedWaveform(), waves),
            noise,
        )
    )
    assert (mel.num_items, mel.num_clusters) == (600, 4)
    # Of four speakers no interval says much.
    assert (mel.ci_low < 0.1, mel.ci_high > 0.4) == (True, True)
    assert mel.value < 0.2 < 0.35 < untrained.value < chance.value + 0.05
    assert abs(chance.value - 0.5) < 0.07


def test_diarization_of_two_digit_speakers(media_root: Path, tmp_path: Path) -> None:
    sizes = {"train": 16, "dev": 4, "test": 6}
    root = write_conversations(media_root, tmp_path / "digits", sizes)
    recipe = HeadRecipe(lr=1e-3, batch_size=8, num_steps=20, eval_every=10)
    task = SpeakerDiarization(own_data=True)
    (result,) = run_sound_task(
        task, MelFrames(), root, tmp_path / "head", recipe=recipe, open_states=remembered
    )
    der, miss, false_alarm, confusion = (metric.value for metric in result.metrics)
    assert der == pytest.approx(miss + false_alarm + confusion)
    # One who says nothing misses all; one who says that both always speak makes it worse still.
    assert der < 0.7


def test_digits_are_found_in_strings_of_digits(media_root: Path, tmp_path: Path) -> None:
    archive = write_archive(media_root, tmp_path, 120, 80)
    (mel, _, searched), (untrained, *_) = (
        run_query_by_example(upstream, archive, tmp_path / name, own_data=True).metrics
        for name, upstream in (("mel", MelFrames()), ("untrained", UntrainedWaveform()))
    )
    assert (mel.num_items, mel.num_clusters) == (120 * 80, 80)
    assert mel.value == searched.value
    # A threshold that finds nothing is worth 0, so misleading scores are worth about that.
    assert 0 <= untrained.ci_high < mel.ci_low
