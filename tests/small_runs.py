"""Runs small enough to be trained in a test: a video transformer of four blocks on tiny clips."""

from typing import Any

from avrep.config import RunConfig, parse_config
from avrep.media.catalog import Catalog

VIT: dict[str, Any] = {
    "kind": "tubelet_vit",
    "size": "micro",
    "patch_px": 8,
    "num_frames": 4,
    "crop_px": 16,
}
VIDEOMAE: dict[str, Any] = {
    "kind": "videomae",
    "sampler": {"num_frames": 4},
    "crop_px": 16,
    "short_side_px": 24,
    "mask_ratio": 0.5,
    "decoder": {"width": 24, "depth": 1, "num_heads": 2},
}


def two_corpora(data: dict[str, Any], train: dict[str, Any]) -> RunConfig:
    """The config of two objectives, the second on a corpus of its own; there is no file behind it.

    Args:
        data: of the part of that name, of the first.
        train: likewise; of the second there are 6 items in a step.
    """
    tree = {
        "data": {"catalog": "a", **data},
        "corpora": {"more": {"catalog": "b", "batch_size": 6}},
        "video_encoder": {"kind": "video_conv"},
        "audio_encoder": {"kind": "spectrogram_vit"},
        "objective": {
            "kind": "joint",
            "parts": {
                "one": {"objective": {"kind": "rspnet"}},
                "two": {"objective": {"kind": "audiomae"}, "corpus": "more"},
            },
        },
        "train": {"num_steps": 1, **train},
    }
    return parse_config(tree, "test")


def small_config(
    catalog: Catalog, data: dict[str, Any], train: dict[str, Any], objective: dict[str, Any]
) -> RunConfig:
    """The config of a run on the CPU.

    Args:
        catalog: what to train on.
        data: of the part of that name.
        train: likewise.
        objective: on a `tubelet_vit`.
    """
    tree = {
        "data": {"catalog": str(catalog.path), **data},
        "video_encoder": VIT,
        "objective": objective,
        "train": {
            "batch_size": 4,
            "optim": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "num_threads": 1,
            "log_every_steps": 1,
            **train,
        },
    }
    return parse_config(tree, "test")
