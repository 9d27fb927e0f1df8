"""SUPERB's output files of text: a key and what was found, a line each."""

from collections.abc import Sequence
from pathlib import Path

from avrep.media.put_in_place import write_in_place


def write_ark(path: Path, keys: Sequence[str], texts: Sequence[str]) -> Path:
    """Write `key text` lines, whole or not at all, and return the path.

    Args:
        path: its folder is made if need be.
        keys: of n utterances, without spaces.
        texts: n, possibly empty.
    """
    lines = [f"{key} {text}\n" for key, text in zip(keys, texts, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_place("".join(lines), path)
    return path
