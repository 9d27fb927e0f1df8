"""Training one method of the evidence: its recipe, on a corpus, with a seed."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from avrep.config import load_config
from avrep.pretrain import pretrain
from avrep.report.progress import train_progress
from avrep.training.checkpoint import checkpoints
from avrep.training.loop import StepRecord

_RECIPES = Path(__file__).resolve().parents[1] / "configs" / "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A run that is finished."""

    folder: Path
    facts: dict[str, float]
    """"steps", "cpu_s" (of this process, decoding included) and "first_loss", "last_loss"."""


def train_run(work: Path, method: str, catalog: Path, seed: int, *changes: str) -> TrainedRun:
    """Train `configs/evidence/METHOD.yaml`; a run that is there already is taken as it is.

    Args:
        work: the folder of all runs.
        method: the recipe's name.
        catalog: what to train on.
        seed: the run's.
        changes: further overrides, `key=value`.
    """
    folder = work / "runs" / f"{method}-seed{seed}"
    overrides = [f"data.catalog={catalog}", f"seed={seed}", *changes]
    config = load_config(_RECIPES / f"{method}.yaml", overrides)
    facts = folder / "facts.json"
    if not facts.is_file():
        losses: list[float] = []
        began_s = time.process_time()
        with train_progress(f"{method}, seed {seed}") as progress:

            def on_step(record: StepRecord) -> None:
                losses.append(record.result.loss)
                progress(record)

            pretrain(config, folder, resume=bool(checkpoints(folder)), on_step=on_step)
        cpu_s = time.process_time() - began_s
        last = losses[-10:]
        told = {
            "steps": float(config.train.num_steps),
            "cpu_s": cpu_s,
            "first_loss": losses[0],
            "last_loss": sum(last) / len(last),
        }
        facts.write_text(json.dumps(told), encoding="utf-8")
    return TrainedRun(folder=folder, facts=json.loads(facts.read_text(encoding="utf-8")))
