"""Training one method of the evidence: its recipe, on a corpus, with a seed."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from torch import get_num_threads

from avrep.config import RunConfig, load_config
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.pretrain import pretrain
from avrep.report.train_progress import train_progress
from avrep.trained import checkpoints
from avrep.training.loop import StepRecord

_RECIPES = Path(__file__).resolve().parents[1] / "configs" / "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A run that is finished."""

    folder: Path
    facts: dict[str, float]
    """"steps", "cpu_s" (of this process, decoding included), "first_loss" and "last_loss" (of the
    logged steps the first, and the mean of the last ten)."""


def study_name(method: str, seed: int) -> str:
    """What a method's files of one seed are called: of a recipe that has changed, otherwise."""
    return f"{method}-seed{seed}-{recipe_digest(method)}"


def recipe_digest(method: str) -> str:
    """Eight hexadecimal digits of what a method's recipe says, its comments left out."""
    recipe = yaml.safe_load(_recipe(method).read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]


def train_run(
    work: Path,
    method: str,
    catalog: Path,
    seed: int,
    *changes: str,
    iteration: str = "",
    open_stream: OpenStream = plain_stream,
) -> TrainedRun:
    """Train `configs/evidence/METHOD.yaml`; what an earlier command did of it is taken as it is.

    Torch has the threads that it has now. Nothing decodes beside the trainer, so that the seconds
    of this process are all that it took.

    Args:
        work: the folder of all runs.
        method: the recipe's name.
        catalog: what to train on.
        seed: the run's.
        changes: further overrides, `key=value`.
        iteration: told in the folder's name, where a recipe is trained more than once.
        open_stream: where clips come from.
    """
    folder = work / "runs" / f"{study_name(method, seed)}{iteration}"
    here = [f"data.catalog={catalog}", f"seed={seed}", f"train.num_threads={get_num_threads()}"]
    config = load_config(_recipe(method), [*here, *changes])
    facts = folder / "facts.json"
    if not facts.is_file():
        spent = _train(config, folder, f"{method}, seed {seed}", open_stream)
        losses = _losses(folder)
        told = {
            "steps": float(config.train.num_steps),
            "cpu_s": spent,
            "first_loss": losses[0],
            "last_loss": sum(losses[-10:]) / len(losses[-10:]),
        }
        facts.write_text(json.dumps(told), encoding="utf-8")
    return TrainedRun(folder=folder, facts=json.loads(facts.read_text(encoding="utf-8")))


def _train(config: RunConfig, folder: Path, title: str, open_stream: OpenStream) -> float:
    """Train, from the newest checkpoint if there is one; the CPU seconds of all commands together."""
    clock = folder / "cpu_s.json"
    resumed = bool(checkpoints(folder))
    before_s = json.loads(clock.read_text(encoding="utf-8")) if clock.is_file() else 0.0
    began_s = time.process_time()
    every = config.train.checkpoint_every_steps
    with train_progress(title) as progress:

        def on_step(record: StepRecord) -> None:
            # What was done after the last checkpoint is done again, and counted then.
            if record.step % every == 0 or record.step == record.total_steps:
                spent_s = before_s + time.process_time() - began_s
                clock.write_text(json.dumps(spent_s), encoding="utf-8")
            progress(record)

        pretrain(config, folder, open_stream=open_stream, resume=resumed, on_step=on_step)
    return json.loads(clock.read_text(encoding="utf-8"))


def _losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def _recipe(method: str) -> Path:
    return _RECIPES / f"{method}.yaml"
