"""Proves ESC-50's reader: five folds, and sources of recordings that stay together."""

from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.sound.esc50 import Esc50
from avrep.evaluation.sound.sound_task import MeasuredPart
from avrep.evaluation.sound_tasks import SOUND_TASKS, sound_task
from avrep.evaluation.superb.ks import KeywordSpotting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, 20 clips a fold, two clips of each source recording."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(100):
        fold, source, label = number // 20 + 1, 1000 + number // 2, number // 2 % 2
        name = f"{fold}-{source}-{'AB'[number % 2]}-{label}.wav"
        lines.append(
            f"{name},{fold},{label},{('dog', 'rain')[label]},False,{source},{'AB'[number % 2]}"
        )
        (tmp_path / "audio" / name).touch()
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(lines))
    return tmp_path


def test_folds_are_the_table_s_and_sources_stay_together(root: Path) -> None:
    task = Esc50(own_data=True)
    parts = []
    for fold, part in enumerate(task.parts(), start=1):
        data = task.read(root, part)
        assert (len(data.train), len(data.valid), len(data.test)) == (64, 16, 20)
        assert all(each.recording.key.startswith(f"{fold}-") for each in data.test)
        sources = [{each.recording.speaker for each in side} for side in (data.train, data.valid)]
        assert not sources[0] & sources[1]
        assert task.classes(data) == (("dog", "rain"),)
        told = tuple(("dog",) for _ in data.test)
        parts.append(MeasuredPart(data=data, predictions=told))
    acc, balanced, _ = task.metrics_over_parts(parts, seed=0)
    assert (acc.value, balanced.value) == pytest.approx((0.5, 0.5))
    assert acc.num_clusters == 50


def test_what_is_missing_is_told_with_the_tree(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"20 clips of fold 1 \(officially 400\)"):
        Esc50().read(root, "fold 1")
    (root / "audio/1-1000-A-0.wav").unlink()
    with pytest.raises(ConfigError, match=r"1 missing: audio/1-1000-A-0\.wav.*(\n.*)*meta/esc50"):
        Esc50(own_data=True).read(root, "fold 1")
    with pytest.raises(ConfigError, match=r"1 missing: meta/esc50\.csv"):
        Esc50().read(root / "audio", "fold 1")


def test_tasks_are_found_by_name() -> None:
    for name, kind in SOUND_TASKS.items():
        task = sound_task(name, own_data=True)
        assert (type(task), task.name, task.own_data) == (kind, name, True)
    assert isinstance(sound_task("superb/ks"), KeywordSpotting)
    with pytest.raises(ConfigError, match="no task 'superb/xx' of sound; there are superb/ks, "):
        sound_task("superb/xx")
