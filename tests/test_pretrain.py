"""A run resumes to the last bit, refuses to become another run, and leaves its records behind."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avrep.assemble import build_objective, open_catalog, training_source, training_sources
from avrep.config import RunConfig
from avrep.errors import ConfigError, FailureBudgetExceeded
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.ledger_check import check_ledger
from avrep.pipeline.plan import Plan
from avrep.pipeline.quarantine import read_quarantine
from avrep.pretrain import pretrain, with_absolute_paths
from avrep.resume import check_same_run
from avrep.trained import checkpoints, latest_checkpoint, load_encoder, read_run_config
from avrep.training.checkpoint import read_state
from avrep.training.recorder import Recorder


def read_lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


MakeConfig = Callable[..., RunConfig]


def weights_of(run: Path) -> bytes:
    return Path(latest_checkpoint(run).url, "model.safetensors").read_bytes()


def without_times(line: dict[str, float]) -> dict[str, float]:
    """A metrics line without what the clock says."""
    return {
        name: value
        for name, value in line.items()
        if not name.endswith(("_s", "_share")) and name != "bottleneck"
    }


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path, stop_after: int
) -> None:
    run = tmp_path / "run"
    config = tiny_config()
    pretrain(config, run, stop_after=stop_after)
    pretrain(config, run, resume=True)
    resumed, whole = (read_lines(path / "metrics.jsonl") for path in (run, tiny_run))
    assert len(whole) == len(resumed) == 6
    for line, expected in zip(resumed, whole, strict=True):
        assert without_times(line) == without_times(expected)
    ours, theirs = (weights_of(path) for path in (run, tiny_run))
    assert ours == theirs


def test_a_key_that_has_come_since_is_no_difference(
    tiny_run: Path, tiny_config: MakeConfig
) -> None:
    """A checkpoint of a version without `train.max_grad_norm` and `evaluation.num_crops`."""
    state = read_state(latest_checkpoint(tiny_run))
    older = json.loads(json.dumps(state.config))
    del older["train"]["max_grad_norm"], older["evaluation"]["num_crops"]
    config = tiny_config()
    sources = training_sources(config, build_objective(config))
    check_same_run(replace(state, config=older), config, sources, tiny_run)
    older["train"]["batch_size"] = 2
    with pytest.raises(ConfigError, match=r"another config \(train\.batch_size: 2 -> 4\)"):
        check_same_run(replace(state, config=older), config, sources, tiny_run)
    older["train"] |= {"batch_size": 4, "gone": 1}
    with pytest.raises(ConfigError, match=r"another config .*train\.gone: 1 -> None"):
        check_same_run(replace(state, config=older), config, sources, tiny_run)


def test_what_was_written_after_the_checkpoint_is_forgotten(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """A run killed between checkpoints leaves lines, a torn one last; none is there twice."""
    run = tmp_path / "run"
    pretrain(tiny_config(), run, stop_after=4)
    with Recorder(run, steps_done=4) as recorder:
        recorder.write(5, {"loss": 1.0})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    pretrain(tiny_config(), run, resume=True)
    resumed, whole = (read_lines(path / "metrics.jsonl") for path in (run, tiny_run))
    assert [without_times(line) for line in resumed] == [without_times(line) for line in whole]
    health = [json.loads((path / "health.json").read_text()) for path in (run, tiny_run)]
    assert health[0] == health[1]
    assert health[0]["num_clips"] == 6 * 4 * 2
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in board.Scalars("loss")] == pytest.approx(
        [line["loss"] for line in whole]
    )


def test_the_ledger_and_the_quarantine_of_a_resumed_run(
    tiny_config: MakeConfig, synth_catalog: Catalog, tmp_path: Path
) -> None:
    """A file spoilt after indexing is listed once, and the ledger has every planned item once."""
    config = tiny_config(num_steps=12)
    shutil.copytree(synth_catalog.root, tmp_path / "corpus")
    spoilt = next(item for item in synth_catalog if item.labels.get("split") == "train")
    (tmp_path / "corpus" / spoilt.shard).write_bytes(b"spoilt")
    data = config.data.model_copy(
        update={"root": str(tmp_path / "corpus"), "max_failure_share": 1.0}
    )
    config, run = config.model_copy(update={"data": data}), tmp_path / "run"
    pretrain(config, run, stop_after=8)
    pretrain(config, run, resume=True)
    entries = read_quarantine(run)
    assert {(e.key, e.stage, e.attempts) for e in entries} == {(spoilt.key, "read", 1)}
    assert len({(entry.step, entry.address) for entry in entries}) == len(entries) >= 2
    source = training_source(config, build_objective(config))
    assert isinstance(source.plan, Plan)
    report = check_ledger(run, source.plan, source.catalog, num_steps=12)
    assert report.is_whole
    assert (report.num_steps, report.num_items) == (12, 48)
    assert report.num_substitutes >= 1


def test_another_seed_is_another_run(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    other = tiny_config().model_copy(update={"seed": 1})
    pretrain(other, tmp_path / "run", stop_after=1)
    first = read_lines(tmp_path / "run" / "metrics.jsonl")[0]["loss"]
    assert first != read_lines(tiny_run / "metrics.jsonl")[0]["loss"]


def test_the_records(tiny_run: Path) -> None:
    lines = read_lines(tiny_run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    # Warm-up from 0 over two steps, then half a cosine over four.
    expected = [0.0, 0.05, 0.1, 0.0853553, 0.05, 0.0146447]
    assert [line["lr"] for line in lines] == pytest.approx(expected, abs=1e-6)
    assert all(line["feature_rank"] > 0 and line["grad_norm"] > 0 for line in lines)
    assert [path.name for path in checkpoints(tiny_run)] == ["step-00000004", "step-00000006"]
    health = json.loads((tiny_run / "health.json").read_text())
    assert health["num_items"] == 16
    assert health["num_clips"] == 6 * 4 * 2
    environment = json.loads((tiny_run / "environment.json").read_text())
    assert environment["torch"] == torch.__version__.partition("+")[0]
    assert any((tiny_run / "tensorboard").iterdir())


def test_a_run_is_not_overwritten_nor_resumed_as_another(
    tiny_run: Path, tiny_config: MakeConfig, synth_catalog: Catalog, tmp_path: Path
) -> None:
    config = tiny_config()
    with pytest.raises(ConfigError, match="holds a run already; add --resume"):
        pretrain(config, tiny_run)
    with pytest.raises(ConfigError, match=r"another config \(train\.batch_size: 4 -> 2\)"):
        pretrain(tiny_config(batch_size=2), tiny_run, resume=True)
    with pytest.raises(ConfigError, match="no checkpoint in"):
        pretrain(config, tmp_path / "none", resume=True)
    items = list(synth_catalog)
    write_catalog(tmp_path / "fewer.parquet", items[:-1], synth_catalog.root)
    moved = config.data.model_copy(update={"catalog": str(tmp_path / "fewer.parquet")})
    with pytest.raises(ConfigError, match="gives other items than"):
        pretrain(config.model_copy(update={"data": moved}), tiny_run, resume=True)


def test_what_does_not_change_the_result_may_change(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    pretrain(tiny_config(), run, stop_after=2)
    pretrain(tiny_config(log_every_steps=3, keep_checkpoints=1), run, resume=True)
    assert [path.name for path in checkpoints(run)] == ["step-00000006"]
    ours, whole = (weights_of(path) for path in (run, tiny_run))
    assert ours == whole


def test_checkpoints_may_lie_in_a_store(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    run, url = tmp_path / "run", f"memory://{tmp_path}"
    config = tiny_config(checkpoint_store=url)
    pretrain(config, run, stop_after=3)
    with pytest.raises(ConfigError, match="holds a run already; add --resume"):
        pretrain(config, tmp_path / "other")
    pretrain(config, run, resume=True)
    assert [each.url for each in checkpoints(run)] == [f"{url}/step-0000000{n}" for n in (4, 6)]
    assert not (run / "checkpoints").exists()
    ours, theirs = (load_encoder(each).state_dict() for each in (run, tiny_run))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_the_best_checkpoint_stays(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """By the mean of the two losses that were logged since the checkpoint before."""
    run = tmp_path / "run"
    pretrain(tiny_config(keep_checkpoints=1, keep_best={"metric": "loss", "mode": "max"}), run)
    losses = [line["loss"] for line in read_lines(run / "metrics.jsonl")]
    means = {step: sum(losses[step - 2 : step]) / 2 for step in (2, 4, 6)}
    best = max(means, key=means.__getitem__)
    assert [each.step for each in checkpoints(run)] == sorted({best, 6})
    assert read_state(checkpoints(run)[0]).metrics["loss"] == pytest.approx(means[best])
    wrong = tiny_config(keep_best={"metric": "lost"})
    with pytest.raises(ConfigError, match="no 'lost' was logged before the checkpoint"):
        pretrain(wrong, tmp_path / "wrong")
    # What was trained is not lost with it.
    assert [each.step for each in checkpoints(tmp_path / "wrong")] == [2]


def test_a_run_is_found_again_from_another_folder(
    tiny_config: MakeConfig,
    synth_catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny_config()
    monkeypatch.chdir(synth_catalog.path.parent)
    data = config.data.model_copy(update={"catalog": synth_catalog.path.name})
    pretrain(config.model_copy(update={"data": data}), tmp_path / "run", stop_after=1)
    monkeypatch.chdir(tmp_path)
    assert len(open_catalog(read_run_config(tmp_path / "run").data)) == len(synth_catalog)


def test_the_encoder_loads_trained_and_untrained(tiny_run: Path) -> None:
    clips = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    trained, untrained = (load_encoder(tiny_run, trained=flag) for flag in (True, False))
    with torch.inference_mode():
        features, other = trained(clips), untrained(clips)
    assert features.pooled.shape == (2, trained.width) == (2, 32)
    assert not torch.allclose(features.pooled, other.pooled)
    assert not trained.training


def test_paths_of_a_config_are_found_from_anywhere(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    monkeypatch.chdir(tmp_path)
    for root, wanted in (("moved", str(tmp_path / "moved")), ("s3://b/moved", "s3://b/moved")):
        data = config.data.model_copy(update={"root": root, "catalog": "c.parquet"})
        found = with_absolute_paths(config.model_copy(update={"data": data})).data
        assert (found.root, found.catalog) == (wanted, str(tmp_path / "c.parquet"))


def test_a_broken_corpus_stops_the_run(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config()
    data = config.data.model_copy(update={"root": str(tmp_path / "moved-away")})
    with pytest.raises(FailureBudgetExceeded, match="substitutes failed"):
        pretrain(config.model_copy(update={"data": data}), tmp_path / "run")
    # Nothing was trained, so the same folder can be used once the corpus is back.
    pretrain(config, tmp_path / "run", stop_after=1)
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 1
