"""Every objective can be fed and timed, in turns with the cached batch, and stands on the page."""

import dataclasses
from itertools import count
from pathlib import Path
from typing import get_args

import pytest

from avrep.media.catalog import Catalog
from avrep.methods import SingleObjectiveConfig
from avrep.types import Batch
from benchmarks.measure import Spread
from benchmarks.report import write_report
from benchmarks.results import SuiteResult, write_result
from benchmarks.step_cases import StepCase
from benchmarks.suite_objectives import RECIPES, FedStep, fed_and_cached, turns
from tests.benchmarks.test_results import MADE


def test_each_objective_has_a_toy_recipe() -> None:
    named = {StepCase(recipe=recipe, size="toy").method for recipe in RECIPES}
    (union, *_) = get_args(SingleObjectiveConfig)
    kinds = {config.model_fields["kind"].default for config in get_args(union)}
    assert named == kinds


def test_turns_of_one_cached_batch_and_the_stream() -> None:
    stream = (Batch(step=step, addresses=(), keys=(), views=()) for step in count())
    assert [batch.step for batch in turns(stream, 2, 3)] == [0, 0, 0, 1, 2, 3, 0, 0, 0, 4, 5, 6]


def test_the_page_says_how_much_longer_a_fed_step_takes(tmp_path: Path) -> None:
    fact = FedStep(
        method="cvrl",
        recipe_steps=300,
        cached_s=Spread(median=0.1, low=0.09, high=0.12),
        fed_s=Spread(median=0.125, low=0.11, high=0.13),
        fed_over_cached=Spread(median=1.25, low=1.2, high=1.3),
        wait_share=Spread(median=0.15, low=0.1, high=0.2),
    )
    result = SuiteResult(
        suite="objectives", made=MADE, settings={}, facts=(dataclasses.asdict(fact),)
    )
    write_result(tmp_path, result)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "| cvrl | 100 | 125 | 1.25 (1.20 to 1.30) | 15% | 300 | 38 |" in page


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("recipe", ["toy/videomae", "toy/hubert"])
def test_a_fed_step_is_timed(synth_catalog: Catalog, recipe: str) -> None:
    overrides = (f"data.catalog={synth_catalog.path}", "train.batch_size=4")
    found = fed_and_cached(StepCase(recipe=recipe, size="toy", overrides=overrides), 2, 2)
    assert found.method == recipe.removeprefix("toy/")
    assert 0 < found.cached_s.low <= found.cached_s.high
    assert found.fed_over_cached.low > 0
    assert 0 < found.wait_share.low <= found.wait_share.high < 1
