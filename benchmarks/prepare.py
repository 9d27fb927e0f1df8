"""Corpora into workloads: indexed, grouped, packed; kept in a folder for the next run."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from benchmarks.corpus import kinetics_like, real_media
from benchmarks.measure import in_child
from benchmarks.rounds import quiet_ray
from benchmarks.workload import Workload, even_rows

NUM_SYNTHETIC = 16
SYNTHETIC = "Kinetics-like"
# At stride 4 the clips of asl_gestures are longer than its files.
_FULL = ((SYNTHETIC, 2), (SYNTHETIC, 4), ("asl_gestures", 2), ("gmdcsa24", 4))
_QUICK = ((SYNTHETIC, 2),)

Tell = Callable[[str, str], None]
"""Called with (what is absent, why)."""


def synthetic_catalog(work: Path) -> Path:
    return _indexed(kinetics_like(work, NUM_SYNTHETIC), work / "kinetics_like.parquet")


def folder_catalog(work: Path, below: str) -> Path | None:
    """The catalogue of a folder of the real media; None where they are not here."""
    media = real_media()
    if media is None or not (media / below).is_dir():
        return None
    return _indexed(media / below, work / f"{below.replace('/', '_')}.parquet")


def workloads(work: Path, strides: set[int], *, quick: bool, tell: Tell) -> list[Workload]:
    """The two-view workloads that can be run here, packed where packing works."""
    found = []
    for name, stride in _QUICK if quick else _FULL:
        if stride not in strides:
            continue
        full_name = f"{name}, stride {stride}"
        path = (
            synthetic_catalog(work) if name == SYNTHETIC else folder_catalog(work, f"action/{name}")
        )
        if path is None:
            tell(full_name, "no real clips here: set AVREP_MEDIA to their folder")
            continue
        catalog = Catalog.open(path)
        rows = even_rows(catalog, 16, stride)
        if len(rows) < 8:
            tell(full_name, f"only {len(rows)} files of one size and rate are long enough")
            continue
        video = catalog[rows[0]].video
        found.append(
            Workload(
                name=full_name,
                catalog=path,
                rows=tuple(rows),
                fps=float(round(video.fps)) if video else 0.0,
                stride=stride,
                packed=_packed(work, path, tell),
            )
        )
    return found


def _indexed(folder: Path, path: Path) -> Path:
    index_sources([str(folder)], path, num_workers=2)
    return path


def _packed(work: Path, catalog: Path, tell: Tell) -> Path | None:
    out = work / f"{catalog.stem}_packed"
    for is_last_try in (False, True):
        try:
            in_child(_pack, catalog, out)
            return out / "corpus.parquet"
        except RuntimeError as error:
            if is_last_try:
                tell(f"{catalog.stem}, packed", str(error))
            # The folder may hold what an earlier version of this or of the files packed.
            shutil.rmtree(out, ignore_errors=True)
    return None


def _pack(catalog: Path, out: Path) -> None:
    from avrep.cluster.pack import pack_corpus

    with warnings.catch_warnings(), quiet_ray():
        warnings.simplefilter("ignore")
        pack_corpus(catalog, out, num_workers=2)
