"""A run's encoder measured by training on labels: what the result says of encoder, data and protocol."""

import csv
from pathlib import Path
from typing import Any

import pytest

from avrep.config import read_overrides
from avrep.errors import ConfigError
from avrep.evaluate import find_task
from avrep.evaluate_task import evaluate_task
from avrep.evaluation.task_result import TaskResult, read_result, write_result
from avrep.finetune import as_in_pretraining, measure_trained_on_labels, recipe_digest
from avrep.recognition.attentive_recipe import AttentiveRecipe
from avrep.recognition.published import published_recipe
from avrep.recognition.recipe import FinetuneRecipe, crop_and_flip
from avrep.recognition.views import ViewsConfig
from avrep.sampling.clips import ClipConfig
from avrep.task_request import Protocol, TaskRequest
from avrep.trained import read_run_config

COMMON: dict[str, Any] = {
    "clip": ClipConfig(num_frames=2, stride=2),
    "short_side_px": 32,
    "augment": crop_and_flip(32),
    "views": ViewsConfig(num_clips=2, num_crops=1, short_side_px=32),
    "batch_size": 12,
    "num_epochs": 1,
    "validation_fraction": 0.25,
    "differs": ("it is a test",),
}
FINETUNE = FinetuneRecipe(**COMMON, warmup_epochs=0)
ATTENTIVE = AttentiveRecipe(**COMMON)


def measure(run: Path, recipe: FinetuneRecipe | AttentiveRecipe, *, trained: bool) -> TaskResult:
    config = read_run_config(run)
    return measure_trained_on_labels(
        config, run, find_task(config), recipe, trained=trained, label="speed"
    )


@pytest.mark.parametrize(("recipe", "protocol"), [(FINETUNE, "finetune"), (ATTENTIVE, "attentive")])
def test_results(
    tiny_run: Path, tmp_path: Path, recipe: FinetuneRecipe | AttentiveRecipe, protocol: str
) -> None:
    result = measure(tiny_run, recipe, trained=True)
    assert (result.task, result.protocol) == ("catalog", protocol)
    assert [metric.name for metric in result.metrics] == ["top1", "mean_class"]
    assert {metric.num_items for metric in result.metrics} == {8}
    assert result.metrics[1].chance == 0.5
    assert (result.data.num_train, result.data.num_valid, result.data.num_test) == (12, 4, 8)
    assert result.settings["label"] == "speed"
    assert result.settings["recipe_digest"] == recipe_digest(recipe)
    assert result.notes == ("it is a test",)
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result


def test_the_untrained_encoder_is_another_one_on_the_same_videos(tiny_run: Path) -> None:
    recipe = ATTENTIVE.model_copy(update={"name": "again"})
    trained, untrained = (measure(tiny_run, recipe, trained=trained) for trained in (True, False))
    assert measure(tiny_run, recipe, trained=True) == trained
    assert untrained.encoder.digest != trained.encoder.digest
    assert untrained.encoder.name == f"untrained:{trained.encoder.name}"
    assert untrained.data == trained.data


@pytest.mark.parametrize("recipe", [FINETUNE, ATTENTIVE])
def test_recipes_are_told_apart_by_whatever_decides(
    recipe: FinetuneRecipe | AttentiveRecipe, tiny_run: Path
) -> None:
    digest = recipe_digest(recipe)
    assert recipe_digest(read_overrides(recipe, ["augment.flip_probability=0.1"])) != digest
    assert recipe_digest(read_overrides(recipe, ["validation_fraction=0.2"])) != digest
    assert recipe_digest(recipe.model_copy(update={"differs": ("said otherwise",)})) == digest
    other = recipe.augment.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.4, 0.4)})
    recipe = recipe.model_copy(update={"augment": other})
    assert recipe_digest(as_in_pretraining(recipe, read_run_config(tiny_run))) == digest


def test_pixels_are_those_of_pretraining(tiny_run: Path) -> None:
    recipe = as_in_pretraining(published_recipe("videomae-ucf101"), read_run_config(tiny_run))
    assert recipe.augment.mean == recipe.augment.std == (0.5, 0.5, 0.5)
    assert recipe.augment.crop_px == 224


@pytest.fixture(scope="module")
def kinetics(synth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kinetics' layout with one train video gone and one that cannot be opened."""
    root = tmp_path_factory.mktemp("data") / "kinetics"
    with (synth_folder / "labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["speed"]]
    label_of = {speed: n for n, speed in enumerate(sorted({row["speed"] for row in rows}))}
    for part, split in (("train", "train"), ("val", "test")):
        own = [row for row in rows if row["split"] == split]
        (root / part).mkdir(parents=True)
        for row in own:
            path = root / part / Path(row["path"]).name
            path.write_bytes((synth_folder / row["path"]).read_bytes())
        lines = [f"{part}/{Path(row['path']).name} {label_of[row['speed']]}\n" for row in own]
        (root / f"{part}.csv").write_text("".join(lines))
    gone, broken = sorted((root / "train").iterdir())[:2]
    gone.unlink()
    broken.write_bytes(b"no video")
    return root


@pytest.mark.parametrize("protocol", ["attentive", "finetune"])
def test_videos_may_be_missing_as_for_the_frozen_protocol(
    kinetics: Path, tiny_run: Path, tmp_path: Path, protocol: Protocol
) -> None:
    small = (
        *("clip.num_frames=2", "clip.stride=2", "short_side_px=32", "augment.crop_px=32"),
        *("views.num_clips=1", "views.num_crops=1", "views.short_side_px=32"),
        *("batch_size=4", "num_epochs=1"),
    )

    def measured(*overrides: str) -> tuple[TaskResult, ...]:
        return evaluate_task(
            TaskRequest(
                encoder=str(tiny_run),
                task="kinetics",
                root=kinetics,
                out=tmp_path,
                protocol=protocol,
                overrides=(*small, *overrides),
            )
        )

    if protocol == "finetune":
        small = (*small, "warmup_epochs=0")
    with pytest.raises(ConfigError, match=r"^1 of 24 listed videos .* by --set allow_missing=true"):
        measured()
    (result,) = measured("allow_missing=true")
    assert result.protocol == protocol
    assert result.data.num_train + result.data.num_valid == 14
    assert result.data.num_test == 8
    told = "\n".join(result.notes)
    assert "1 of 24 listed videos" in told
    assert "1 of 23 listed videos cannot be opened and were left out, as allowed" in told
    with pytest.raises(ConfigError, match="--set: allow_missing: "):
        measured("allow_missing=often")
