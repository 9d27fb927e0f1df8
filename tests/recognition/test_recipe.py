"""Recipes: schedules as published, and combinations that are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from avrep.augment.erase import EraseConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.errors import ConfigError
from avrep.recognition.published import published_recipe, published_recipes
from avrep.recognition.recipe import FinetuneRecipe, crop_and_flip


def lrs(name: str, epochs: list[float], steps_per_epoch: int = 10) -> list[float]:
    recipe = published_recipe(name)
    return [recipe.lr_at(round(epoch * steps_per_epoch), steps_per_epoch) for epoch in epochs]


def test_videomae_rises_for_5_epochs_and_falls_by_half_a_cosine() -> None:
    # 5e-4 and 1e-5 for 256 videos, with 128 of them; half way between 5 and 100 is 52.5.
    found = lrs("videomae-ucf101", [0, 2.5, 5, 52.5, 100])
    assert found == pytest.approx([0, 1.25e-4, 2.5e-4, (2.5e-4 + 5e-6) / 2, 5e-6])


def test_rspnets_rates_end_at_a_thousandth_or_fall_by_steps() -> None:
    assert lrs("rspnet-ucf101-c3d", [0, 15, 30]) == pytest.approx([5e-3, 2.5025e-3, 5e-6])
    found = lrs("rspnet-hmdb51-c3d", [0, 49.9, 50, 70, 90, 99.9])
    assert found == pytest.approx([5e-3, 5e-3, 5e-4, 5e-5, 5e-6, 5e-6])
    # As released: its steps lie behind its last epoch.
    assert lrs("rspnet-hmdb51-r3d_18", [0, 29.9]) == [0.01, 0.01]


def test_rho_byol_falls_three_times_and_vcop_never() -> None:
    assert lrs("rho-byol", [0, 60, 120, 180]) == pytest.approx([0.025, 2.5e-3, 2.5e-4, 2.5e-5])
    assert set(lrs("vcop", [0, 75, 149.9])) == {1e-3}


def test_vcop_crops_112_pixels_of_frames_of_4_to_3() -> None:
    augment = published_recipe("vcop").augment
    assert augment.area[0] * 128 * 171 == pytest.approx(112 * 112)
    assert augment.flip_probability == 0


def test_videomae_alone_has_randaugment_and_erasing() -> None:
    for name, recipe in published_recipes().items():
        augment = recipe.augment
        if name.startswith("videomae"):
            # rand-m7-n4-mstd0.5-inc1 and reprob 0.25.
            assert augment.rand_augment == RandAugmentConfig(
                num_operations=4, magnitude=7, magnitude_std=0.5, probability=0.5
            )
            assert augment.erase == EraseConfig(
                probability=0.25, area=(0.02, 1 / 3), aspect=(0.3, 1 / 0.3)
            )
        else:
            assert augment.rand_augment is augment.erase is None


def test_names_are_told_and_all_but_avreps_own_say_what_differs() -> None:
    recipes = published_recipes()
    assert all(recipe.differs for name, recipe in recipes.items() if name != "small")
    # What `model_copy` changed is checked too.
    for name, recipe in recipes.items():
        assert FinetuneRecipe.model_validate(recipe.model_dump()).name == name
    with pytest.raises(
        ConfigError, match="no fine-tuning recipe 'videomae'; there are small, vcop"
    ):
        published_recipe("videomae")


def test_flips_can_be_left_out() -> None:
    assert crop_and_flip(32).flip_probability == 0.5
    assert crop_and_flip(32, flip=False).flip_probability == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"batch_size": 6, "draws_per_visit": 2, "num_micro_batches": 2}, "multiple of draws"),
        ({"warmup_epochs": 31}, "at most num_epochs, 30"),
        ({"drop_epochs": (3,)}, "go with schedule: steps"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        FinetuneRecipe(**wrong)
