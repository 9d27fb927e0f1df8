"""Writes a small run folder, file by file, the way that a training run leaves one."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image


def metric_line(step: int, total_steps: int, rng: np.random.Generator) -> dict[str, float | str]:
    through = step / total_steps
    line = {
        "step": step,
        "total_steps": total_steps,
        "loss": 4.8 * math.exp(-2.2 * through) + 1.1 + 0.18 * float(rng.normal()),
        "lr": 0.0003 * min(1.0, step / 60) * (0.5 + 0.5 * math.cos(math.pi * through)),
        "clips_per_s": 182.0 + 14.0 * float(rng.normal()),
        "wait_share": float(np.clip(0.06 + 0.05 * rng.normal(), 0, 1)),
        "elapsed_s": 1.5,
        **time_of_step(wait_s=0.2 - 0.19 * through, compute_s=0.06, decode_s=0.6),
        "feature_std": 0.7 + 0.2 * through,
    }
    if step % 10 == 0:
        line |= {
            "feature_rank": 6.0 + 38.0 * (1 - math.exp(-3 * through)),
            "grad_norm": 2.4 * math.exp(-through) + 0.2 * abs(float(rng.normal())),
            "top1": 0.05 + 0.9 * through + 0.02 * float(rng.normal()),
        }
    return line


def time_of_step(
    *, wait_s: float, compute_s: float, decode_s: float, storage_s: float = 0.1
) -> dict[str, float | str]:
    """What a line says of time; the parts named are the ones that change."""
    return {
        "bottleneck": "decode",
        "step_wait_s": wait_s,
        "step_transfer_s": 0.004,
        "step_augment_s": 0.012,
        "step_compute_s": compute_s,
        "step_other_s": 0.006,
        "stream_storage_s": storage_s,
        "stream_demux_s": 0.02,
        "stream_decode_s": decode_s,
        "stream_convert_s": 0.08,
    }


def score(encoder: str, value: float, half: float, **more: object) -> dict[str, object]:
    """A row as `avrep evaluate` writes it, its interval `half` to either side."""
    row: dict[str, object] = {
        "task": "ucf101",
        "protocol": "linear",
        "label": "motion",
        "encoder": encoder,
        "metric": "top1",
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "num_test": 240,
        "num_clusters": 240,
        "chance": 0.0,
        "fold": None,
        "seed": 0,
    }
    return row | more


def trio(
    pretrained: float, untrained: float, half: float, chance: float, **more: object
) -> list[dict[str, object]]:
    return [
        score("pretrained", pretrained, half, chance=chance, **more),
        score("untrained", untrained, half, chance=chance, **more),
        score("difference", pretrained - untrained, half * 1.2, **more),
    ]


def results_file(rows: list[dict[str, object]]) -> str:
    return json.dumps({"schema": "avrep.evaluation", "version": 1, "rows": rows})


CONFIG = """\
seed: 0
objective:
  kind: cvrl
  temperature: 0.1
data:
  catalog: runs/demo/catalog
train:
  num_steps: 1200
  batch: 32
"""


def write_run(run: Path) -> None:
    (run / "evaluation").mkdir(parents=True)
    rng = np.random.default_rng(3)
    lines = [json.dumps(metric_line(s, 1200, rng)) for s in range(0, 1201, 4)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (run / "config.yaml").write_text(CONFIG)
    environment = {
        "avrep": "0.1.0",
        "python": "3.11.7",
        "torch": "2.11.0",
        "device": "NVIDIA H100 80GB HBM3",
        "commit": "3f1c0ffee1234567890abcdef1234567890abcde",
        "date": "2026-01-05 09:12 UTC",
    }
    (run / "environment.json").write_text(json.dumps(environment))
    linear = [
        *trio(0.812, 0.431, 0.048, 0.25),
        *trio(0.388, 0.371, 0.06, 0.25, label="colour"),
        *trio(0.141, 0.229, 0.05, 0.125, label="background"),
        *trio(0.27, 0.24, 0.055, 0.25, label="start corner"),
    ]
    other = [
        *trio(0.744, 0.402, 0.05, 0.25, protocol="knn"),
        *trio(0.401, 0.39, 0.058, 0.25, protocol="knn", label="colour"),
        *trio(0.964, 0.31, 0.02, 0.004, protocol="instance", label="item", metric="R@1"),
        *trio(0.121, 0.094, 0.021, 0.05, protocol="retrieval", label="motion", metric="MRR"),
    ]
    (run / "evaluation" / "linear.json").write_text(results_file(linear))
    (run / "evaluation" / "other.json").write_text(results_file(other))
    health = {
        "num_items": 1540,
        "num_rejects": 3,
        "rejects": [
            {"key": "clips/a_0412.mp4", "stage": "video", "reason": "no frame could be decoded"},
            {"key": "clips/b_0007.mp4", "stage": "open", "reason": "empty file"},
            {"key": "clips/b_0009.mp4", "stage": "open", "reason": "moov atom not found"},
        ],
        "num_bad_packets": 17,
        "num_clips": 76800,
        "num_decode_actors": 12,
        "corpus": {
            "num_items": 1540,
            "total_duration_s": 9240.5,
            "with_sound": 1502,
            "video_codecs": {"h264": 1490, "vp9": 50},
        },
    }
    (run / "health.json").write_text(json.dumps(health))
    sheet = np.linspace(0, 255, 200 * 640 * 3).reshape(200, 640, 3).astype(np.uint8)
    Image.fromarray(sheet).save(run / "contact_sheet.png")
