"""A folder that one job fills: it says what it holds or will hold, so that no other job goes on in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avrep.errors import ConfigError
from avrep.media.put_in_place import put_in_place


def claim_folder(
    out: Path,
    file: str,
    wanted: Mapping[str, Any],
    *,
    what: str,
    words: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make a folder ours, or find that it is.

    Args:
        out: new, empty, or claimed for the same.
        file: name of the claim in it.
        wanted: what decides everything that the folder will hold.
        what: what that is, in the plural: "labels".
        words: for a value that differs, what the folder holds instead ("another catalogue"); without
            a word for it, "other NAME".

    Returns:
        The claim as it stands; with whatever was written into it since.

    Raises:
        ConfigError: it is a file, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder for the {what}")
    out.mkdir(parents=True, exist_ok=True)
    found = read_claim(out, file)
    if found is None:
        # A claim that was being written when its job was killed.
        if any(left.name != f"{file}.partial" for left in out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no {what}; name a new folder")
        write_claim(out, file, wanted)
        return dict(wanted)
    for name, value in wanted.items():
        if found.get(name) != value:
            other = (words or {}).get(name, f"other {name}")
            raise ConfigError(f"{out} holds {what} of {other}; name a new folder")
    return found


def read_claim(folder: Path, file: str) -> dict[str, Any] | None:
    """What a folder says that it holds or will hold; None where it says nothing."""
    path = folder / file
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_claim(folder: Path, file: str, claim: Mapping[str, Any]) -> None:
    partial = folder / f"{file}.partial"
    partial.write_text(json.dumps(claim, indent=2), encoding="utf-8")
    put_in_place(partial, folder / file)
