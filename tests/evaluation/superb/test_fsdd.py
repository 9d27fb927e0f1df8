"""Real speech through two tasks: spoken digits as keywords, and who says them.

The Free Spoken Digit Dataset, laid out as Speech Commands and as VoxCeleb1. Keywords are digits under
the ten words' names; of noises there are two real recordings.
"""

from pathlib import Path

import pytest

from avrep.evaluation.sound.cached_states import cached_states
from avrep.evaluation.sound.run_task import run_sound_task
from avrep.evaluation.sound.upstream import Upstream
from avrep.evaluation.sound.upstream_log_mel import LogMel
from avrep.evaluation.sound.upstream_own import own_upstream
from avrep.evaluation.sound.utterance import UtteranceTask
from avrep.evaluation.superb.ks import CLASSES, KeywordSpotting
from avrep.evaluation.superb.sid import SpeakerIdentification
from avrep.evaluation.task_result import TaskResult
from avrep.models.waveform import WaveformConfig, build_waveform
from evidence.tasks.keywords import write_keywords
from evidence.tasks.voices import write_voices

_PER_SPEAKER = 10
"""Of each digit: what a test has time for."""


@pytest.fixture(scope="module")
def commands(media_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_keywords(media_root, tmp_path_factory.mktemp("commands"), per_speaker=_PER_SPEAKER)
    assert all((root / "speech_commands_test_set_v0.01" / name).is_dir() for name in CLASSES)
    return root


@pytest.fixture(scope="module")
def voices(media_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voices(media_root, tmp_path_factory.mktemp("voices"), per_speaker=_PER_SPEAKER)


def _measure(
    task: UtteranceTask, root: Path, out: Path, *upstreams: Upstream
) -> dict[str, TaskResult]:
    changes = {"num_steps": 100, "eval_every": 50, "lr": 1e-2, "num_accumulated": 1}
    recipe = task.recipe.model_copy(update=changes)
    return {
        result.encoder.name: result
        for upstream in upstreams
        for result in run_sound_task(
            task,
            upstream,
            root,
            out / upstream.facts.name,
            recipe=recipe,
            open_states=cached_states,
        )
    }


@pytest.fixture(scope="module")
def untrained() -> Upstream:
    """A small wav2vec 2.0 as it begins."""
    return own_upstream(build_waveform(WaveformConfig(size="tiny"), 0), "untrained")


@pytest.mark.slow
@pytest.mark.media
def test_digits_are_spotted(commands: Path, tmp_path: Path, untrained: Upstream) -> None:
    task = KeywordSpotting(own_data=True)
    results = _measure(task, commands, tmp_path, untrained, LogMel())
    assert len(results) == 2
    for name, result in results.items():
        acc, balanced, _ = result.metrics
        assert acc.num_items == 10 * 4 * 5 + 4
        # Four speakers of digits, a reader of sentences, two noises.
        assert acc.num_clusters == 7
        assert acc.chance is not None
        if name == "logmel":
            # Its mean over an utterance is 0.
            assert acc.value <= acc.chance
        else:
            assert acc.value > 2 * acc.chance
            assert balanced.ci_low > 1 / 12
    lines = (tmp_path / "untrained/test_predict.txt").read_text().splitlines()
    assert len(lines) == 204


@pytest.mark.slow
@pytest.mark.media
def test_speakers_are_told_by_digits_never_heard(
    voices: Path, tmp_path: Path, untrained: Upstream
) -> None:
    task = SpeakerIdentification(own_data=True)
    plain = LogMel(normalises=False)
    for result in _measure(task, voices, tmp_path, untrained, plain).values():
        acc, *_ = result.metrics
        assert (acc.num_items, acc.num_clusters, acc.chance) == (80, 4, 0.25)
        assert acc.value > 0.5
