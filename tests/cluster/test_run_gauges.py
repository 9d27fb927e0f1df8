"""What a training tells Ray's own Prometheus endpoint stands there, scraped as Prometheus would."""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from avrep.assemble import build_objective, training_source
from avrep.cluster.decode_pool import DecodePool
from avrep.cluster.run_gauges import RunGauges
from avrep.cluster.stream import ray_stream
from avrep.config import RunConfig
from avrep.pretrain import pretrain
from avrep.training.loop import StepRecord
from avrep.types import Address, Failure

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]

Samples = dict[tuple[str, str], float]
_PATIENCE_S = 60.0


def scraped() -> Samples:
    """(name, its run or state) -> value, of all that is avrep's on this machine."""
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (
                sample.name,
                sample.labels.get("run") or sample.labels.get("state") or "",
            ): sample.value
            for family in families
            for sample in family.samples
            if sample.name.startswith("ray_avrep_")
        }


def scraped_with(wanted: Samples) -> Samples:
    """What is there when the values wanted are, or at the end of patience: Ray sends every 10 s."""
    given_up_s = time.monotonic() + _PATIENCE_S
    while True:
        found = scraped()
        if wanted.items() <= found.items() or time.monotonic() > given_up_s:
            return found
        time.sleep(1.0)


def test_the_numbers_of_a_run_stand_at_the_endpoint(
    tiny_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    records: list[StepRecord] = []
    gauges = RunGauges(tmp_path)

    def on_step(record: StepRecord) -> None:
        records.append(record)
        gauges.add(record)

    config = tiny_config()
    pretrain(config, tmp_path, open_stream=ray_stream, on_step=on_step)
    run, last = str(tmp_path), records[-1]
    failure = Failure(address=Address(0, 1), key="a.mp4", stage="open", reason="not media")
    gauges.add(replace(last, batch=replace(last.batch, failures=(failure, failure))))
    pool = DecodePool(training_source(config, build_objective(config)), 2, 2**20)
    pool.replace(pool.running(0))
    while any(worker.starting is not None for worker in pool._workers):
        pool.running(0)
        time.sleep(0.05)
    wanted = {
        ("ray_avrep_step", run): 6.0,
        ("ray_avrep_loss", run): last.result.loss,
        ("ray_avrep_grad_norm", run): last.result.grad_norm,
        ("ray_avrep_clips_per_s", run): last.num_clips / last.elapsed_s,
        ("ray_avrep_wait_share", run): last.wait_s / last.elapsed_s,
        ("ray_avrep_clips_total", run): 48.0 + last.num_clips,
        ("ray_avrep_failed_items_total", run): 2.0,
        ("ray_avrep_decode_actors", "running"): 2.0,
        ("ray_avrep_decode_actors", "starting"): 0.0,
    }
    found = scraped_with(wanted)
    pool.stop()
    assert {key: found.get(key) for key in wanted} == wanted
    # Other tests of this Ray may have replaced some too.
    assert found["ray_avrep_replaced_actors_total", ""] >= 1
