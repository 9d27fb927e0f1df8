"""Which methods there is evidence of, and what measures each."""

from collections.abc import Callable
from pathlib import Path

from evidence.cells import Cell
from evidence.speech import SPEECH
from evidence.synchrony import SYNCHRONY

Measure = Callable[[Path, Path, int], list[Cell]]
"""Called with (working folder, folder for pictures, seed): trains what is to be trained, measures."""

METHODS: dict[str, Measure] = {
    **SPEECH,
    **SYNCHRONY,
}
