"""A poison planted in a run is named, and the step that it spoilt is made again to the last bit."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from avrep.assemble import build_objective, training_source
from avrep.cli import app
from avrep.config import RunConfig
from avrep.errors import AvrepError, ConfigError
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.cvrl import Cvrl
from avrep.pipeline.batches import read_batch
from avrep.pipeline.plan import Plan, visits
from avrep.pretrain import pretrain
from avrep.replay import replay_step
from avrep.report.replay_table import draw_replay, replay_lines
from avrep.trained import checkpoints
from avrep.training.guard import read_incidents
from tests.test_pretrain import read_lines

MakeConfig = Callable[..., RunConfig]


def poisoned(monkeypatch: pytest.MonkeyPatch, item: int) -> None:
    """Whenever this item is in a batch, its first view is not a number."""
    original = Cvrl.forward

    def forward(self: Cvrl, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        rows = [row for row, address in enumerate(batch.addresses) if address.item == item]
        video = batch.views[0].video
        assert video is not None
        for row in rows:
            # Out of place: the batch is the caller's.
            scale = video.new_ones(len(video), 1, 1, 1, 1)
            scale[row] = math.nan
            view = type(batch.views[0])(video=video * scale, pts_s=batch.views[0].pts_s)
            batch = BatchTensors(
                step=batch.step, views=(view, batch.views[1]), addresses=batch.addresses
            )
        return original(self, batch, rng)

    monkeypatch.setattr(Cvrl, "forward", forward)


def item_first_met(config: RunConfig, step: int) -> int:
    """An item that no step before this one has (steps from 1)."""
    plan = training_source(config, build_objective(config)).plan
    assert isinstance(plan, Plan)
    met = [{visit.address.item for visit in visits(plan, number)} for number in range(step)]
    return min(met[-1] - set().union(*met[:-1]))


def test_any_step_is_made_again_bit_for_bit(tiny_run: Path, tiny_config: MakeConfig) -> None:
    """Step 6 from the checkpoint of step 4, step 3 from the beginning, as none of step 2 is left."""
    logged = {line["step"]: line for line in read_lines(tiny_run / "metrics.jsonl")}
    config = tiny_config()
    source = training_source(config, build_objective(config))
    for step, from_step in ((6, 4), (5, 4), (3, 0)):
        replay = replay_step(tiny_run, step)
        assert (replay.from_step, replay.is_exact) == (from_step, True)
        assert replay.loss == logged[step]["loss"] == replay.logged_loss
        assert replay.grad_norm == logged[step]["grad_norm"]
        assert replay.batch.keys == read_batch(source, step - 1).keys
        found = replay.found
        assert (found.weights, found.layers, found.gradients, found.backward) == ((), (), (), None)
        assert [clip.address for clip in found.clips] != []
        norms = [clip.grad_norm or 0.0 for clip in found.clips]
        assert norms == sorted(norms, reverse=True)
        assert min(norms) > 0


def test_the_nearest_checkpoint_is_said_to_be_another_step(tiny_run: Path) -> None:
    replay = replay_step(tiny_run, 2, nearest=True)
    assert (replay.from_step, replay.is_exact) == (4, False)
    assert replay.loss != replay.logged_loss
    assert "not those that the run had" in next(replay_lines(replay, tiny_run))
    assert replay_step(tiny_run, 5, nearest=True).is_exact


def test_a_poisoned_item_is_named_and_its_step_made_again(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = tiny_config(), tmp_path / "run"
    item = item_first_met(config, 4)
    poisoned(monkeypatch, item)
    with pytest.raises(AvrepError) as error:
        pretrain(config, run)
    key = training_source(config, build_objective(config)).catalog[item].key
    assert f"avrep replay {run} --step 4" in str(error.value)
    (incident,) = read_incidents(run)
    assert key in incident.keys["data"]
    # No checkpoint has met it.
    assert [path.name for path in checkpoints(run)] == ["step-00000002"]

    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    replay = replay_step(run, 4)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    assert (replay.loss, replay.from_step) == (None, 2)
    assert replay.digest == incident.digest
    suspects = [clip for clip in replay.found.clips if clip.is_suspect]
    assert [clip.address.item for clip in suspects] == [item]
    assert replay.found.clips[0].address.item == item
    assert replay.found.layers[0].startswith("encoder.")
    assert replay.found.weights == ()
    assert replay.found.gradients
    lines = list(replay_lines(replay, run))
    assert any("the very one of which the run told: loss is not finite" in line for line in lines)
    assert replay.found.backward
    draw_replay(replay, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400


def test_poisoned_weights_are_named(
    tiny_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    path = run / "checkpoints" / "step-00000004" / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.startswith("head.") and weights[name].ndim == 2)
    weights[name][0, 0] = math.nan
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(weights, path, metadata=metadata)
    with pytest.raises(AvrepError, match="step 5: the loss is not finite"):
        pretrain(tiny_config(), run, resume=True)
    replay = replay_step(run, 5)
    assert replay.found.weights == (name,)
    assert replay.found.largest_weight[1] == max(
        float(values[values.isfinite()].abs().max())
        for name, values in weights.items()
        if values.is_floating_point() and "running_" not in name and "num_batches" not in name
    )
    assert replay.found.layers[0].startswith("head.")
    with pytest.raises(AvrepError, match="a step before 6 has no finite loss"):
        replay_step(run, 6)


def test_what_cannot_be_replayed_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has steps 1 to 6"):
        replay_step(tiny_run, 7)
    with pytest.raises(ConfigError, match="no run at"):
        replay_step(tmp_path / "none", 1)


@pytest.mark.slow
def test_the_command_says_what_it_found(tiny_run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = CliRunner().invoke(app, ["replay", str(tiny_run), "--step", "5", "-o", str(sheet)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "from the checkpoint of step 4" in said
    assert "all weights, layers and gradients are finite" in said
    assert said.endswith("sheet.png")
    assert sheet.is_file()
