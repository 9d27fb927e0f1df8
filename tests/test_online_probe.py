"""The probe while training names held-out labels, and leaves the training to the last bit as it is."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from avrep.assemble import build_objective
from avrep.config import RunConfig
from avrep.errors import ConfigError
from avrep.evaluate import Embedder
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.tasks import catalog_task
from avrep.media.catalog import Catalog, write_catalog
from avrep.online_probe import OnlineProbe
from avrep.pipeline.stream import plain_stream
from avrep.pretrain import pretrain
from avrep.training.prepare import prepare
from tests.gloo_ranks import results_of_ranks
from tests.small_runs import small_config
from tests.test_pretrain import read_lines, weights_of, without_times

MakeConfig = Callable[..., RunConfig]
CPU = torch.device("cpu")
_VJEPA = {
    "kind": "vjepa",
    "sampler": {"num_frames": 4},
    "crop_px": 16,
    "short_side_px": 24,
    "predictor": {"width": 24, "depth": 1, "num_heads": 2},
}


def test_training_is_the_same_with_and_without_it(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    pretrain(tiny_config(probe_every_steps=3, log_every_steps=2), tmp_path / "run")
    assert weights_of(tmp_path / "run") == weights_of(tiny_run)
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    # A step that is probed is logged, whether or not it is its turn.
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    probed = [{k for k in line if k.startswith("probe_knn_")} for line in lines]
    assert probed[0] == probed[2] == set()
    assert probed[1] == probed[3] != set()
    assert all(0 <= line[name] <= 1 for line in lines for name in line if "probe_" in name)
    whole = {line["step"]: line for line in read_lines(tiny_run / "metrics.jsonl")}
    for line in lines:
        without = {k: v for k, v in without_times(line).items() if not k.startswith("probe_knn_")}
        expected = without_times(whole[int(line["step"])])
        assert {k: v for k, v in without.items() if k in expected and "feature" not in k} == {
            k: v for k, v in expected.items() if "feature" not in k and k in without
        }


def test_the_value_is_that_of_the_evaluation_of_the_same_weights(
    tiny_config: MakeConfig, synth_catalog: Catalog
) -> None:
    """The same top-1 as the protocol kNN of `avrep evaluate`, from one clip of each video."""
    config = tiny_config(probe_every_steps=1, probe_items=10_000)
    objective = build_objective(config)
    probed = OnlineProbe(config, objective, CPU, plain_stream).measure(1)
    rows = synth_catalog.rows_with(video=True, audio=False)
    task = catalog_task(synth_catalog, rows)
    embedder = Embedder(config, {"now": objective.encoders()["video"]}, CPU, plain_stream, None)
    embedding = embedder._embed(rows, 1, embedder._crops)
    train, test = (
        task.table(
            [row for row in embedding.rows.tolist() if row in chosen],
            [k for k, row in zip(embedding.keys, embedding.rows, strict=True) if row in chosen],
            embedding.features["now"][[row in chosen for row in embedding.rows.tolist()]],
        )
        for chosen in (set(task.train.tolist()), set(task.test.tolist()))
    )
    protocols = ProtocolConfig(protocols=("knn",))
    assert probed
    assert probed.keys() == {f"probe_knn_{label}" for label in task.label_sets}
    for label in task.label_sets:
        scores = score_features(train, test, label, config=protocols, seed=0)
        top1 = next(score for score in scores if score.metric == "top1")
        assert probed[f"probe_knn_{label}"] == pytest.approx(top1.values.mean())


def test_what_is_measured_is_what_evaluators_get(synth_catalog: Catalog) -> None:
    """Of V-JEPA the teacher, although it moves slowly and is not what is trained."""
    config = small_config(
        synth_catalog, {"num_decode_actors": 0}, {"num_steps": 1, "probe_every_steps": 1}, _VJEPA
    )
    objective = build_objective(config)
    probe = OnlineProbe(config, objective, CPU, plain_stream)
    before = probe.measure(1)
    spoil(objective.encoders()["video"])
    assert probe.measure(1) == before
    spoil(objective.evaluated()["video"])
    assert probe.measure(1) != before


@pytest.mark.slow
def test_ranks_that_share_out_the_weights_measure_what_one_would(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    """And train on as without it."""
    (tmp_path / "ranks").mkdir()
    of_rank = partial(_sharded, str(synth_catalog.path), str(tmp_path))
    for found in results_of_ranks(of_rank, 2, tmp_path / "ranks"):
        assert found["sharded"] == found["whole"]
    plain, probed = (read_lines(tmp_path / name / "metrics.jsonl") for name in ("plain", "probed"))
    assert [line["loss"] for line in probed] == [line["loss"] for line in plain]
    assert all(any(name.startswith("probe_knn_") for name in line) for line in probed)


def _sharded(catalog: str, folder: str, rank: int, num_ranks: int) -> dict[str, tuple[float, ...]]:
    del rank, num_ranks
    runs: dict[str, RunConfig] = {}
    for name, every in (("plain", None), ("probed", 1)):
        train = {"num_steps": 3, "parallel": "fsdp", "log_every_steps": 1}
        runs[name] = small_config(
            Catalog.open(Path(catalog)),
            {"num_decode_actors": 0},
            train | {"probe_every_steps": every},
            _VJEPA,
        )
    objective = build_objective(runs["probed"])
    probe = OnlineProbe(runs["probed"], objective, CPU, plain_stream)
    whole = tuple(probe.measure(1).values())
    prepare(objective, runs["probed"].train, CPU)
    sharded = tuple(probe.measure(1).values())
    for name, config in runs.items():
        pretrain(config, Path(folder) / name)
    return {"whole": whole, "sharded": sharded}


def spoil(encoder: nn.Module) -> None:
    """Make all clips the same to it."""
    for parameter in encoder.parameters():
        nn.init.zeros_(parameter)


def test_few_items_are_taken_of_every_class(tiny_config: MakeConfig) -> None:
    config = tiny_config(probe_every_steps=2, probe_items=12)
    probe = OnlineProbe(config, build_objective(config), CPU, plain_stream)
    num_items = sum(len(batch.keys) for batch in probe._batches)
    assert 10 <= num_items <= 12
    assert probe.measure(1) == {}
    assert probe.measure(4) != {}


def test_a_corpus_without_labels_is_refused(
    tiny_config: MakeConfig, synth_catalog: Catalog, tmp_path: Path
) -> None:
    bare = [
        replace(item, labels={"split": item.labels.get("split", "test")}) for item in synth_catalog
    ]
    write_catalog(tmp_path / "bare.parquet", bare, synth_catalog.root)
    config = tiny_config(probe_every_steps=1)
    data = config.data.model_copy(update={"catalog": str(tmp_path / "bare.parquet")})
    config = config.model_copy(update={"data": data})
    with pytest.raises(ConfigError, match="has no labels that kNN can be asked for"):
        OnlineProbe(config, build_objective(config), CPU, plain_stream)
