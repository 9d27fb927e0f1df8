"""Files that are whole or absent, whatever happens while they are written."""

import os
from pathlib import Path


def put_in_place(made: Path, place: Path) -> None:
    """Give a finished file its name, so that even a loss of power leaves it whole or absent."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_in_place(text: str, place: Path) -> None:
    """Write a small file, or write it anew, so that it is never seen in parts."""
    partial = place.with_name(place.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    put_in_place(partial, place)
