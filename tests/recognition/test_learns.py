"""Both ways learn what only time tells; on real clips they end, restart and name every video."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avrep.evaluation.tasks import TaskItems, split_files_task
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.synth_write import write_video
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.recognition.attentive import attentive_probe
from avrep.recognition.attentive_recipe import AttentiveRecipe, HeadRates
from avrep.recognition.data import TaskVideos
from avrep.recognition.finetune import finetune
from avrep.recognition.recipe import FinetuneRecipe, crop_and_flip
from avrep.recognition.views import ViewsConfig
from avrep.sampling.clips import ClipConfig
from avrep.training.optim import OptimConfig

pytestmark = pytest.mark.slow

VIEWS = ViewsConfig(num_clips=2, num_crops=3, short_side_px=32, batch_size=16)
CLIP = ClipConfig(num_frames=4, stride=2)
SMALL = VideoConvConfig(arch="r3d_18_fast", base_width=8)
NUM_VIDEOS, NUM_TEST, NUM_FRAMES, FPS = 64, 24, 12, 12


@pytest.fixture(scope="module")
def fades(tmp_path_factory: pytest.TempPathFactory) -> TaskVideos:
    """Pictures of noise that grow bright or dark: no single frame tells which."""
    root = tmp_path_factory.mktemp("fades")
    (root / "videos").mkdir()
    for number in range(NUM_VIDEOS):
        draw = np.random.default_rng(number)
        noise, middle = draw.uniform(0.2, 1, (32, 48, 3)), draw.uniform(100, 150)
        ramp = np.linspace(-60, 60, NUM_FRAMES) * (1 if number % 2 else -1)
        write_video(
            root / "videos" / f"{number:02d}.mp4",
            [(noise * (middle + change)).astype(np.uint8) for change in ramp],
            np.zeros(8000, np.float32),
            frame_ticks=range(NUM_FRAMES),
            tick_s=Fraction(1, FPS),
            rate_hz=8000,
        )
    index_sources([str(root / "videos")], root / "c.parquet", num_workers=1)
    catalog = Catalog.open(root / "c.parquet")
    rows = catalog.rows_with(video=True)
    class_of = {row: ("darker", "brighter")[row % 2] for row in rows.tolist()}
    task = TaskItems(
        task="catalog",
        train=rows[NUM_TEST:],
        test=rows[:NUM_TEST],
        label_sets={"class": class_of},
    )
    return TaskVideos(catalog=catalog, task=task)


def test_fine_tuning_learns_the_order_of_frames(fades: TaskVideos, tmp_path: Path) -> None:
    recipe = FinetuneRecipe(
        clip=CLIP,
        short_side_px=32,
        augment=crop_and_flip(32, area=(0.5, 1.0)),
        batch_size=12,
        num_epochs=8,
        warmup_epochs=1,
        optim=OptimConfig(name="adamw", lr=3e-3, weight_decay=0.05),
        views=VIEWS,
        validation_fraction=0.2,
    )
    predictions = finetune(build_video_conv(SMALL, seed=0), fades, recipe, tmp_path)
    assert predictions.scores()[0].values.mean() > 0.9


def test_a_probe_of_an_untrained_encoder_does_too(fades: TaskVideos, tmp_path: Path) -> None:
    recipe = AttentiveRecipe(
        clip=CLIP,
        short_side_px=32,
        augment=crop_and_flip(32),
        views=VIEWS,
        rates=(HeadRates(lr=1e-3, weight_decay=0.01), HeadRates(lr=1e-2, weight_decay=0.01)),
        batch_size=16,
        num_epochs=20,
        store_bytes=1 << 26,
        validation_fraction=0.2,
    )
    predictions = attentive_probe(build_video_conv(SMALL, seed=0), fades, recipe, tmp_path)
    assert predictions.scores()[0].values.mean() > 0.8


@pytest.mark.media
def test_real_clips_of_one_subject_left_out(media_root: Path, tmp_path: Path) -> None:
    root = media_root / "action" / "gmdcsa24_ucfstyle"
    index_sources([str(root / "videos")], tmp_path / "c.parquet", num_workers=1)
    catalog = Catalog.open(tmp_path / "c.parquet")
    task = split_files_task(catalog, root / "splits", 1, "corpus")
    recipe = FinetuneRecipe(
        clip=ClipConfig(num_frames=8, stride=4),
        short_side_px=48,
        augment=crop_and_flip(48),
        batch_size=9,
        num_epochs=2,
        warmup_epochs=1,
        views=ViewsConfig(num_clips=3, num_crops=3, short_side_px=48),
    )

    def stop_at(step: int) -> None:
        def progress(done: int, _total: int) -> None:
            if done == step:
                raise InterruptedError

        finetune(build_video_conv(SMALL, seed=0), data, recipe, parts, progress=progress)

    data, parts = TaskVideos(catalog=catalog, task=task), tmp_path / "parts"
    whole = finetune(build_video_conv(SMALL, seed=0), data, recipe, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        stop_at(3)
    again = finetune(build_video_conv(SMALL, seed=0), data, recipe, parts)
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    assert len(whole.videos.keys) == len(task.test) == 6
    assert np.isfinite(whole.probabilities).all()
    # Whoever is tested was not trained on, and whoever was held out is another subject.
    assert whole.videos.groups == ("g01",) * 6
    assert whole.settings["validation_groups"] == 1
