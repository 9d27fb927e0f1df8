"""What a run keeps count of: what the stream delivered, what it could not, and where that is written.

RUN/
    quarantine/     items that could not be used, and why; see avrep.pipeline.quarantine
    ledger/         which item reached the trainer in which step; see avrep.pipeline.ledger
    health.json     what the corpus and the stream looked like, over the run's whole life
    corpora/NAME/   the same of each further corpus of a mixture
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avrep.config import DataConfig
from avrep.media.index import read_rejects
from avrep.media.put_in_place import write_in_place
from avrep.pipeline.budget import check_failure_budget
from avrep.pipeline.example import StreamSource
from avrep.pipeline.ledger import LedgerWriter
from avrep.pipeline.quarantine import QuarantineWriter
from avrep.training.parallel import sum_over_ranks
from avrep.types import Batch

_COUNTS: tuple[str, ...] = ("num_clips", "num_read_items", "num_failed_items", "num_bad_packets")
_MAX_REJECTS_TOLD = 50


class Account:
    """Keeps count of one rank's stream, and writes it down; at a checkpoint, with the checkpoint.

    Args:
        config: how the corpus is read.
        folder: the run's; of a further corpus, one below it.
        source: what the stream is made from.
        first_step: where it starts or resumes.
        rank: this trainer's.
        counts: what an earlier start had counted up to there, as its checkpoint says.
    """

    def __init__(
        self,
        config: DataConfig,
        folder: Path,
        source: StreamSource,
        first_step: int,
        rank: int,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self._config = config
        self._path = folder / "health.json"
        self._source = source
        self._rank = rank
        self._quarantine = QuarantineWriter(folder, rank)
        self._ledger = LedgerWriter(folder, rank, first_step) if config.ledger else None
        # What an earlier start counted is in one rank's hands.
        before = counts if counts and rank == 0 else {}
        self._counts = {name: before.get(name, 0) for name in _COUNTS}

    def add(self, batch: Batch) -> None:
        """Count a batch that reached the trainer.

        Raises:
            FailureBudgetExceeded: too large a share of the items failed.
        """
        num_used, num_failed = len(batch.addresses), len(batch.failures)
        self._counts["num_clips"] += num_used * len(batch.views)
        self._counts["num_read_items"] += num_used + num_failed
        self._counts["num_failed_items"] += num_failed
        self._counts["num_bad_packets"] += batch.num_bad_packets
        if self._ledger:
            self._ledger.add(batch, place=self._rank * num_used)
        if batch.failures:
            self._quarantine.add(batch.step, batch.failures)
            check_failure_budget(
                self._counts["num_failed_items"],
                self._counts["num_read_items"],
                self._config.max_failure_share,
                batch.failures[-1],
            )

    def write(self, step: int) -> dict[str, int]:
        """Bring the ledger and the counts up to a checkpoint that is about to be written.

        Returns:
            What all ranks counted, for the checkpoint to remember.
        """
        if self._ledger:
            self._ledger.flush()
        names = list(self._counts)
        counts = dict(zip(names, sum_over_ranks(list(self._counts.values())), strict=True))
        if self._rank:
            return counts
        catalog = self._source.catalog
        rejects = read_rejects(catalog.path.with_name(f"{catalog.path.stem}.rejects.csv"))
        write_json(
            self._path,
            {
                "step": step,
                "num_items": len(self._source.plan.rows),
                "num_rejects": len(rejects),
                "rejects": [
                    {"key": reject.key, "stage": reject.stage, "reason": reject.reason}
                    for reject in rejects[:_MAX_REJECTS_TOLD]
                ],
                **counts,
                "num_decode_actors": self._config.num_decode_actors,
            },
        )
        return counts


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_in_place(json.dumps(content, indent=1) + "\n", path)
