"""Which methods there is evidence of, and what measures each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from evidence.cells import Cell
from evidence.drawn_offsets import DRAWN_OFFSETS
from evidence.motion import measure_motion
from evidence.pictures import measure_masked
from evidence.speech import CORPUS, SPEECH
from evidence.speed import measure_speed
from evidence.synchrony import HEADS, SYNCHRONY

Measure = Callable[[Path, Path, int], list[Cell]]
"""Called with (working folder, folder for pictures, seed): trains what is to be trained, measures."""

METHODS: dict[str, Measure] = {
    "cvrl": partial(measure_motion, "cvrl"),
    "rspnet": measure_speed,
    "videomae": partial(measure_masked, "videomae"),
    "mae_st": partial(measure_masked, "mae_st"),
    "vjepa": partial(measure_motion, "vjepa"),
    **SPEECH,
    **SYNCHRONY,
    **DRAWN_OFFSETS,
}

MEDIA: dict[str, str] = {**dict.fromkeys(SPEECH, CORPUS), **dict.fromkeys(SYNCHRONY, HEADS)}
"""Folders of real media that methods are measured on; those that are not here need none."""
