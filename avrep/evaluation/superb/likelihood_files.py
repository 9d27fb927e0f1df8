"""How likely each speaker speaks in each frame, as the public toolkit's score.sh reads it."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from avrep.evaluation.superb.speaker_activity import Frames
from avrep.media.put_in_place import put_in_place

ABSENT_NOTE = "scoring/predictions was not written. Mend: pip install 'avrep[superb]'"


def can_write_likelihoods() -> bool:
    """Whether the package is there that writes them."""
    return find_spec("h5py") is not None


def write_likelihoods(folder: Path, likelihoods: Mapping[str, Frames]) -> tuple[Path, ...]:
    """`RECORDING.h5` for each recording, whose dataset `T_hat` is float32[n k].

    Args:
        folder: made if it is not there.
        likelihoods: of each recording in [0, 1]. Its name is the file's; a `/` in it becomes `_`.
    """
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for recording, frames in likelihoods.items():
        path = folder / f"{recording.replace('/', '_')}.h5"
        partial = path.with_name(f"{path.name}.partial")
        with h5py.File(partial, "w") as file:
            file.create_dataset("T_hat", data=frames.astype(np.float32))
        put_in_place(partial, path)
        paths.append(path)
    return tuple(paths)
