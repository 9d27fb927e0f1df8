"""Action recognition end to end on a small corpus: every protocol gives a result, what is kept is not
made again, and a call that was killed goes on where it stopped.
"""

import csv
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.action_task import encoder_of_run, measure_action
from avrep.augment.eval_crops import CropConfig
from avrep.cluster.stream import ray_stream
from avrep.errors import ConfigError
from avrep.evaluation.action import embed_videos
from avrep.evaluation.action.catalog import open_splits
from avrep.evaluation.action.few_shot import FewShotConfig
from avrep.evaluation.action.measure import ActionTaskConfig
from avrep.evaluation.action.robustness import DISTURBANCES, RobustnessConfig
from avrep.evaluation.action.video_encoder import (
    VideoEncoder,
    encoder_of_function,
    small_pixels,
)
from avrep.evaluation.protocols import ProtocolConfig
from avrep.evaluation.task_result import TaskResult, read_result, write_result
from avrep.sampling.clips import ClipConfig

CONFIG = ActionTaskConfig(
    num_clips=2,
    num_crops=1,
    protocols=ProtocolConfig(num_resamples=100),
    few_shot=FewShotConfig(num_labels=(1, 2), num_draws=2),
    robustness=RobustnessConfig(disturbances=DISTURBANCES),
)


@pytest.fixture(scope="module")
def root(synth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic videos in folders of their speed, below train and test."""
    root = tmp_path_factory.mktemp("speeds")
    with (synth_folder / "labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["speed"]]
    for row in rows:
        place = root / row["split"] / row["speed"] / Path(row["path"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((synth_folder / row["path"]).read_bytes())
    return root


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


class Counted:
    """`small_pixels` that counts the clips that it is shown, and may give up."""

    def __init__(self, at_most: int | None = None) -> None:
        self.num_clips = 0
        self.at_most = at_most

    def __call__(self, clips: Tensor) -> Tensor:
        self.num_clips += len(clips)
        if self.at_most is not None and self.num_clips > self.at_most:
            raise KeyboardInterrupt
        return small_pixels(clips)

    def encoder(self) -> VideoEncoder:
        made = encoder_of_function(
            self,
            "pixels",
            clip=ClipConfig(num_frames=4, stride=2),
            crops=CropConfig(short_side_px=32, crop_px=32),
        )
        self.num_clips = 0
        return made


@pytest.fixture(scope="module")
def results(root: Path, work: Path) -> dict[str, TaskResult]:
    found = measure_action(Counted().encoder(), root, "video_folder", work, CONFIG)
    return {result.protocol: result for result in found}


@pytest.mark.slow
def test_every_protocol_has_a_result(results: dict[str, TaskResult], tmp_path: Path) -> None:
    plain = ["linear", "knn", "retrieval"]
    disturbed = [f"{name}-{kind}" for kind in DISTURBANCES for name in plain]
    assert list(results) == [*plain, "few-shot-1", "few-shot-2", *disturbed]
    for name, result in results.items():
        assert result.data.num_test == 8
        assert result.encoder.name == "pixels"
        assert "names tell of no groups: both sides may share recordings" in result.notes
        assert any("test videos have a near duplicate in train" in note for note in result.notes)
        write_result(tmp_path / f"{name}.json", result)
        assert read_result(tmp_path / f"{name}.json") == result
    assert [metric.name for metric in results["linear"].metrics] == ["top1", "mean_class"]
    assert results["retrieval"].metrics[0].name == "r@1"
    assert results["linear-shuffled"].settings["disturbance"] == "shuffled"
    assert results["linear-recompressed"].settings["crf"] == 36.0
    linear, knn = results["linear"].data, results["knn"].data
    assert linear.num_valid > 0
    assert linear.num_train + linear.num_valid == knn.num_train == 16
    assert results["few-shot-2"].data.num_train < 16


@pytest.mark.slow
def test_a_baseline_blind_to_order_loses_nothing_to_it(results: dict[str, TaskResult]) -> None:
    """Mean picture and mean change are the same backwards; in another order the change is not."""
    values = {
        name: {metric.name: metric.value for metric in result.metrics}
        for name, result in results.items()
    }
    for protocol in ("linear", "knn"):
        assert values[f"{protocol}-reversed"]["top1"] == values[protocol]["top1"]
        assert values[f"{protocol}-reversed"]["top1_change"] == 0.0


@pytest.mark.slow
def test_another_call_shows_the_encoder_nothing(
    results: dict[str, TaskResult], root: Path, work: Path
) -> None:
    counted = Counted()
    again = measure_action(counted.encoder(), root, "video_folder", work, CONFIG)
    assert {result.protocol: result for result in again} == results
    assert counted.num_clips == 0


@pytest.mark.slow
def test_a_killed_call_goes_on_where_it_stopped(
    results: dict[str, TaskResult], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_videos, "_PART_VIDEOS", 4)
    config = CONFIG.model_copy(
        update={
            "few_shot": FewShotConfig(),
            "robustness": RobustnessConfig(),
            "check_duplicates": False,
            "batch_size": 4,
        }
    )
    killed = Counted(at_most=30)
    encoder = killed.encoder()
    with pytest.raises(KeyboardInterrupt):
        measure_action(encoder, root, "video_folder", tmp_path, config)
    # 24 videos of 2 clips; 3 parts of 4 videos were kept, and the fourth was lost half made.
    counted = Counted()
    found = measure_action(counted.encoder(), root, "video_folder", tmp_path, config)
    assert counted.num_clips == 48 - 24
    assert found[0].metrics == results["linear"].metrics


@pytest.mark.slow
def test_a_video_that_cannot_be_decoded_is_refused_or_told_of(root: Path, tmp_path: Path) -> None:
    moved, work = tmp_path / "moved", tmp_path / "work"
    shutil.copytree(root, moved)
    open_splits(moved, "video_folder", work)
    broken = sorted((moved / "test").rglob("*.mp4"))[3]
    facts = broken.stat()
    broken.write_bytes(b"x" * facts.st_size)
    # As it was when it was indexed, by all that a listing tells.
    os.utime(broken, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    config = CONFIG.model_copy(
        update={
            "protocols": ProtocolConfig(protocols=("knn",), num_resamples=100),
            "few_shot": FewShotConfig(),
            "robustness": RobustnessConfig(disturbances=("reversed",)),
        }
    )
    encoder = Counted().encoder()
    with pytest.raises(ConfigError, match=rf"^1 of 24 videos cannot be decoded: .*{broken.name}"):
        measure_action(encoder, moved, "video_folder", work, config)
    allowed = config.model_copy(update={"allow_missing": True})
    plain, disturbed = measure_action(encoder, moved, "video_folder", work, allowed)
    for result in (plain, disturbed):
        assert (result.data.num_train, result.data.num_test) == (16, 7)
        assert result.metrics[0].num_items == 7
        told = [note for note in result.notes if "cannot be decoded and were left out" in note]
        assert len(told) == 1
        assert broken.name in told[0]


def test_an_encoder_of_a_run(tiny_run: Path) -> None:
    trained, untrained = (encoder_of_run(tiny_run, trained=flag) for flag in (True, False))
    assert trained.facts.digest == encoder_of_run(tiny_run).facts.digest
    assert trained.facts.digest != untrained.facts.digest
    assert untrained.facts.name == f"untrained:{tiny_run}"
    assert (trained.clip.num_frames, trained.clip.stride) == (4, 2)
    assert trained.crops.crop_px == 32
    clips = torch.zeros(1, 3, 4, 32, 32)
    with torch.inference_mode():
        pooled = trained.module(clips).pooled
    assert np.isfinite(pooled.numpy()).all()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_decode_actors_give_the_same_results(
    results: dict[str, TaskResult], root: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(
        update={
            "few_shot": FewShotConfig(),
            "robustness": RobustnessConfig(disturbances=("recompressed",)),
            "check_duplicates": False,
        }
    )
    found = measure_action(
        Counted().encoder(),
        root,
        "video_folder",
        tmp_path,
        config,
        open_stream=partial(ray_stream, num_actors=2),
    )
    assert len(found) == 6
    for result in found:
        assert result.metrics == results[result.protocol].metrics
