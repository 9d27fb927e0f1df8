"""What the options of several commands must be."""

import re
from pathlib import Path

from avrep.errors import ConfigError


def on_this_machine(out: Path | None) -> Path | None:
    """A place to write that is no address: made a path, `s3://bucket` would be a folder named `s3:`.

    Raises:
        ConfigError: it is an address.
    """
    scheme, colon, rest = str(out or "").partition(":/")
    if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme):
        raise ConfigError(
            f"--out {scheme}://{rest.lstrip('/')}: write to a folder of this machine or one that "
            "nodes share; checkpoints alone go to a store: --set train.checkpoint_store=URL"
        )
    return out
