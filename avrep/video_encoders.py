"""Encoders of pictures by name: all that can be measured on action recognition goes through this door."""

from pathlib import Path

from avrep.action_task import encoder_of_run
from avrep.augment.eval_crops import CropConfig
from avrep.errors import ConfigError
from avrep.evaluation.action.video_encoder import (
    VideoEncoder,
    colour_histogram,
    encoder_of_function,
    small_pixels,
)
from avrep.evaluation.python_object import python_object
from avrep.sampling.clips import ClipConfig

_BASELINES = {"colour-histogram": colour_histogram, "small-pixels": small_pixels}
_FORMS = f"a run's folder, untrained:RUN, {', '.join(_BASELINES)}, python:MODULE:NAME"


def open_video_encoder(name: str) -> VideoEncoder:
    """An encoder of pictures, frozen, by its name.

    Args:
        name: one of
            `colour-histogram`, `small-pixels`: baselines without learning;
            `python:package.module:name`: a function without arguments that gives a `VideoEncoder`;
            `untrained:RUN`: the encoder that a run began with;
            anything else: the folder of a run of ours, with its newest checkpoint.

    Raises:
        ConfigError: there is no such encoder.
    """
    kind, colon, rest = name.partition(":")
    if name in _BASELINES:
        crops = CropConfig(
            short_side_px=112, crop_px=112, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        )
        clip = ClipConfig(num_frames=16, stride=2)
        return encoder_of_function(_BASELINES[name], name, clip=clip, crops=crops)
    if colon and kind == "python":
        made = python_object(rest)()
        if not isinstance(made, VideoEncoder):
            raise ConfigError(f"{name} gives {type(made).__name__}, and a VideoEncoder is wanted")
        return made
    is_untrained = bool(colon) and kind == "untrained"
    run_dir = Path(rest if is_untrained else name)
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError(
            f"no run at {run_dir}, and {name!r} names no other encoder; give {_FORMS}"
        )
    return encoder_of_run(run_dir, trained=not is_untrained)
