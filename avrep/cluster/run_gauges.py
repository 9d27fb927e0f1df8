"""A run's numbers at Ray's own Prometheus endpoint, which each node of a cluster has.

They are named as Ray names all of an application's: `ray_avrep_loss{run="..."}`. What to scrape, Ray
writes to `prom_metrics_service_discovery.json` in its temporary folder.
"""

from pathlib import Path

from ray.util.metrics import Counter, Gauge

from avrep.training.loop import StepRecord

_RUN = ("run",)


class RunGauges:
    """How a training stands, told by its first rank after each step; Ray must be initialised.

    Args:
        run_dir: the run's folder, whose path names it.
    """

    def __init__(self, run_dir: Path) -> None:
        self._tags = {"run": str(run_dir)}
        self._step = Gauge("avrep_step", "Steps done.", _RUN)
        self._loss = Gauge("avrep_loss", "Loss of the last step, mean over trainers.", _RUN)
        self._grad_norm = Gauge("avrep_grad_norm", "Length of the last step's gradient.", _RUN)
        self._speed = Gauge("avrep_clips_per_s", "Clips a second of all trainers.", _RUN)
        self._waits = Gauge(
            "avrep_wait_share", "Waiting for data, of the first trainer's last step.", _RUN
        )
        self._clips = Counter("avrep_clips", "Clips that trainers were given.", _RUN)
        self._failed = Counter(
            "avrep_failed_items", "Items that the first trainer's stream could not use.", _RUN
        )

    def add(self, record: StepRecord) -> None:
        """Tell of a step."""
        self._step.set(record.step, self._tags)
        self._loss.set(record.result.loss, self._tags)
        self._grad_norm.set(record.result.grad_norm, self._tags)
        self._speed.set(record.num_clips / record.elapsed_s, self._tags)
        self._waits.set(record.wait_s / record.elapsed_s, self._tags)
        self._clips.inc(record.num_clips, self._tags)
        batches = (record.batch, *record.batch.others.values())
        if num_failed := sum(len(batch.failures) for batch in batches):
            self._failed.inc(num_failed, self._tags)
