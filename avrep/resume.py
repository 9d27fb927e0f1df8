"""Whether a run that goes on is the same run, and what of the interrupted one no longer holds."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avrep.assemble import data_digest
from avrep.config import RunConfig, differences, parse_config
from avrep.errors import ConfigError
from avrep.media.put_in_place import write_in_place
from avrep.pipeline.example import StreamSource
from avrep.training.checkpoint import RunState

MAY_CHANGE_ON_RESUME = frozenset(
    {
        "data.catalog",
        "data.root",
        "data.split",
        "data.keys",
        "data.num_decode_actors",
        "data.max_decode_actors",
        "data.prefetch_bytes",
        "data.read_ahead_bytes",
        "data.ledger",
        "data.limits.deadline_s",
        "data.limits.max_memory_bytes",
        "data.storage.max_attempts",
        "data.storage.first_wait_s",
        "data.storage.timeout_s",
        "data.max_failure_share",
        # Where the first weights lay, which a run that goes on does not read.
        "start.run",
        "train.activation_checkpointing",
        "train.compile",
        "train.device",
        "train.num_workers",
        "train.parallel",
        "train.min_workers",
        "train.max_restarts",
        "train.num_threads",
        "train.log_every_steps",
        "train.checkpoint_every_steps",
        "train.checkpoint_store",
        "train.keep_checkpoints",
        "train.spikes",
        "train.spikes.deviations",
        "train.spikes.window_steps",
        "train.probe_every_steps",
        "train.probe_items",
        "train.keep_best",
        "train.keep_best.metric",
        "train.keep_best.mode",
    }
)
"""Config values that do not decide what is computed; which items are read, a digest watches. Those
of `evaluation` may change as well.

Of `train.num_workers`, `min_workers` and `parallel` that is so up to rounding, as sums are taken in another
order, and but for what belongs to no clip: dropout's draws are each rank's own, and in micro-batches batch
norm and wav2vec 2.0's diversity are of the clips that are taken together.
"""


def check_same_run(
    state: RunState, config: RunConfig, sources: Mapping[str, StreamSource], run_dir: Path
) -> None:
    """Refuse to go on as another run than the one that a checkpoint is of.

    Raises:
        ConfigError: showing the difference.
    """
    changed = {
        path: change
        for path, change in differences(
            _with_defaults(state.config), config.model_dump(mode="json")
        ).items()
        if not _may_change(path)
    }
    if changed:
        listed = ", ".join(f"{path}: {change}" for path, change in changed.items())
        raise ConfigError(
            f"{run_dir} was made with another config ({listed}); choose another --out"
        )
    if state.data_digest != data_digest(sources.values()):
        paths = " or ".join(str(source.catalog.path) for source in sources.values())
        raise ConfigError(
            f"{paths} gives other items than those that {run_dir} was made with; "
            "resume with the same catalogue and filters, or choose another --out"
        )


def _with_defaults(written: dict[str, Any]) -> dict[str, Any]:
    """A config as it was written, with the values of keys that have come since: a key that decides
    what is computed comes with a default that computes what was computed before.
    """
    try:
        return parse_config(written, "the checkpoint's config").model_dump(mode="json")
    except ConfigError:
        # Of a key or value that is gone, the difference tells more.
        return written


def forget_after(path: Path, step: int) -> None:
    """Leave the lines up to a step: those after it tell of weights that are gone."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The last line may have been cut short when the run was killed.
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    write_in_place("".join(kept), path)


def _may_change(path: str) -> bool:
    # What may change of one corpus may change of any; an evaluation trains nothing.
    name = re.sub(r"^corpora\.[^.]+\.", "data.", path)
    return name in MAY_CHANGE_ON_RESUME or name.startswith("evaluation.")
