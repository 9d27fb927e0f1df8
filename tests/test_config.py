"""Configs: the YAML in the repository loads, overrides land, and each mistake is named in a line."""

from pathlib import Path

import pytest
import yaml

from avrep.config import differences, dump_config, load_config, parse_config
from avrep.errors import ConfigError
from avrep.objectives.cvrl import CvrlConfig

CONFIGS = Path(__file__).parents[1] / "configs"
QUICKSTART = CONFIGS / "quickstart.yaml"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_load_and_survive_a_round_trip(path: Path) -> None:
    config = load_config(path)
    again = parse_config(yaml.safe_load(dump_config(config)), "dump")
    assert again == config


def test_the_published_recipe_has_the_papers_numbers() -> None:
    config = load_config(CONFIGS / "cvrl_k400.yaml")
    steps_per_epoch = 215_570 / 1024
    assert config.train.num_steps == pytest.approx(200 * steps_per_epoch, abs=1)
    assert config.train.warmup_steps == pytest.approx(5 * steps_per_epoch, abs=1)
    # The released K600 figures by the same rule.
    assert round(200 * 366_016 / 1024) == 71_488
    assert round(5 * 366_016 / 1024) == 1_787
    assert config.train.batch_size == 1024
    assert config.train.optim.lr == 0.32
    assert isinstance(config.objective, CvrlConfig)
    assert config.objective.temperature == 0.1


def test_overrides_are_yaml_values_on_key_paths() -> None:
    overrides = ["train.num_steps=70", "data.split=train", "objective.sampler.stride=4", "seed=3"]
    config = load_config(QUICKSTART, overrides)
    assert config.train.num_steps == 70
    assert config.data.split == "train"
    assert isinstance(config.objective, CvrlConfig)
    assert config.objective.sampler.stride == 4
    assert config.objective.sampler.num_frames == 8
    assert config.seed == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.num_step=7"], r"train\.num_step: no such key"),
        (["train.batch_size=0"], r"train\.batch_size: input should be greater than 0, got 0"),
        (
            ["train.optim.name=adam"],
            r"train\.optim\.name: input should be 'sgd', 'lars' or 'adamw'",
        ),
        (
            ["data.max_decode_actors=1"],
            "data: max_decode_actors is 1; it must be at least num_decode_actors, 2",
        ),
        (["train.num_steps=9"], r"train: warmup_steps is 20; it must be at most num_steps, 9"),
        (["train.num_steps"], "write it as key.path=value"),
        (["seed.x=1"], "seed is a value, not a group of keys"),
        (["seed=[1"], "not a YAML value"),
        (["train.batch_size=0", "train.num_steps=0"], r"\(and 1 more\)"),
    ],
)
def test_mistakes_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_config(QUICKSTART, overrides)
    assert "\n" not in str(error.value)


def test_the_most_decode_actors() -> None:
    for overrides, most in (
        ([], 2),
        (["data.max_decode_actors=5"], 5),
        # Without any, nothing is there to grow.
        (["data.max_decode_actors=5", "data.num_decode_actors=0"], 0),
    ):
        assert load_config(QUICKSTART, overrides).data.most_decode_actors == most


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config at"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must hold keys and values"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("")
    with pytest.raises(ConfigError, match="field required"):
        load_config(tmp_path / "a.yaml")


def test_yaml_builds_no_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: !!python/object/apply:os.getcwd []")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(tmp_path / "a.yaml")


def test_differences_are_key_paths() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}}
    assert differences(old, old) == {}
    assert differences(old, {"a": 1, "b": {"c": 5, "d": 3}, "e": 0}) == {
        "b.c": "2 -> 5",
        "e": "None -> 0",
    }
