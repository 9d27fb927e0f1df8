"""Features of videos on disk: computed once, by whichever task asks first, and whole or absent.

FOLDER/
    features.json               what decides every number in here
    part-<names>.safetensors    float32[n v d] of n videos, whose names are in its header
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from avrep.errors import ConfigError
from avrep.evaluation.features_table import Vectors
from avrep.media.claimed_folder import claim_folder
from avrep.media.put_in_place import put_in_place
from avrep.types import MediaItem

Views = npt.NDArray[np.float32]
"""float32[n v d]"""
_Reduce = Callable[[Views], npt.NDArray[np.floating]]
_CLAIM = "features.json"
_FEATURES, _NAMES = "features", "names"


def video_name(item: MediaItem) -> str:
    """What tells a video from every other in a data set: its key, length and, if known, checksum."""
    return f"{item.key}\0{item.length_bytes}\0{item.crc32}"


class FeatureCache:
    """Features made by one encoder of one kind of clips. Several processes may add to it at once.

    float32, not float16: what an untrained encoder tells of two videos may differ by less than
    a thousandth of the value, which is what float16 rounds to.

    Args:
        folder: where the caches of a data set are.
        identity: everything that decides the features of a video, as plain values.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        said = json.dumps(identity, sort_keys=True)
        self.folder = folder / hashlib.sha256(said.encode()).hexdigest()[:16]
        claim_folder(self.folder, _CLAIM, json.loads(said), what="features")

    def add(self, names: Sequence[str], features: Views) -> None:
        """Keep the features of some videos, float32[n v d]."""
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        place = self.folder / f"part-{digest}.safetensors"
        partial = place.with_suffix(f".{os.getpid()}.partial")
        header = {_NAMES: json.dumps(list(names))}
        save_file({_FEATURES: np.ascontiguousarray(features)}, partial, metadata=header)
        put_in_place(partial, place)

    def known(self) -> set[str]:
        """Names of the videos that it has."""
        return {name for path in self._parts() for name in _names(path)}

    def views(self, names: Sequence[str]) -> Views:
        """Every view's features of some videos that it has, float32[n v d], in their order."""
        return self._read(names, lambda views: views)

    def means(self, names: Sequence[str]) -> Vectors:
        """Each video's mean over its views, float32[n d]: see `FeatureTable.vectors`."""
        return self._read(names, lambda views: views.mean(axis=1, dtype=np.float64))

    def _read(self, names: Sequence[str], reduced: _Reduce) -> npt.NDArray[np.float32]:
        places = {name: place for place, name in enumerate(names)}
        found: npt.NDArray[np.float32] | None = None
        left = set(places)
        for path in self._parts():
            held = [(row, places[name]) for row, name in enumerate(_names(path)) if name in left]
            if not held:
                continue
            values = reduced(_features(path)).astype(np.float32)
            if found is None:
                found = np.empty((len(names), *values.shape[1:]), np.float32)
            found[[place for _, place in held]] = values[[row for row, _ in held]]
            left -= {names[place] for _, place in held}
        if found is None or left:
            raise KeyError(f"{self.folder} lacks the features of {len(left)} videos")
        return found

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.safetensors"))


def _names(path: Path) -> list[str]:
    try:
        with safe_open(path, "np") as part:
            return json.loads(part.metadata()[_NAMES])
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise _damaged(path) from None


def _features(path: Path) -> Views:
    try:
        with safe_open(path, "np") as part:
            return part.get_tensor(_FEATURES)
    except SafetensorError:
        raise _damaged(path) from None


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path} is damaged. Mend: delete it; it is made again")
