"""Proves that a job submitted to a Ray head trains, is followed, and says when it failed."""

import subprocess
import sys
from pathlib import Path

import pytest

from avrep.media.catalog import Catalog
from avrep.report.ledger_table import audit_run
from avrep.trained import checkpoints

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = """
data: {catalog: none, num_decode_actors: 1, split: train}
video_encoder: {kind: video_conv, arch: r3d_18_fast, base_width: 4}
objective:
  kind: cvrl
  sampler: {num_frames: 4, stride: 2}
  short_side_px: 32
  crop_px: 32
  head: {hidden_width: 8, num_hidden: 1, out_width: 4}
train: {batch_size: 4, num_steps: 3, optim: {lr: 0.1}, device: cpu, num_threads: 1}
"""

# Beside another Ray, as on a machine where somebody uses one.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


def _job(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "ray_jobs/local.py", *arguments]
    return subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=400, check=False
    )


def test_a_job_trains_and_its_log_is_followed(synth_catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(_CONFIG)
    done = _job(
        *("pretrain", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run")),
        *("--set", f"data.catalog={synth_catalog.path}"),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "training 3/3 loss" in done.stdout
    assert checkpoints(tmp_path / "run")
    assert audit_run(tmp_path / "run")["data"].is_whole


def test_a_job_that_fails_says_so(tmp_path: Path) -> None:
    done = _job("pretrain", str(tmp_path / "none.yaml"), "-o", str(tmp_path / "run"))
    assert done.returncode == 1
    assert "avrep: no config at" in done.stdout


def test_a_job_that_there_is_not_is_told() -> None:
    done = _job("pretend")
    assert done.returncode == 2
    assert "one of embed, evaluate, index, label, pack, pretrain" in done.stderr
