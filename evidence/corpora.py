"""The corpora of the evidence: written or indexed once, kept in the working folder."""

import os
from pathlib import Path

from avrep.errors import ConfigError
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig


def synthetic_catalog(work: Path) -> Path:
    """Videos with labels of motion, shape and speed: as `avrep demo` writes them, but twice as many."""
    folder = work / "synthetic"
    catalog = work / "synthetic.parquet"
    if not catalog.is_file():
        write_corpus(folder, SynthConfig(num_videos=384), num_workers=os.cpu_count() or 1)
        index_sources([str(folder)], catalog)
    return catalog


def folder_catalog(work: Path, below: str) -> Path:
    """The catalogue of a folder of real media.

    Raises:
        ConfigError: it is not here.
    """
    folder = media_folder(below)
    catalog = work / f"{below.replace('/', '_')}.parquet"
    if not catalog.is_file():
        index_sources([str(folder)], catalog)
    return catalog


def media_folder(below: str) -> Path:
    """A folder of real media, such as "speech/fsdd".

    Raises:
        ConfigError: it is not here.
    """
    if not (media_root() / below).is_dir():
        raise ConfigError(
            f"no {below} in {media_root()}: set AVREP_MEDIA to the folder that has it"
        )
    return media_root() / below


def media_root() -> Path:
    """The folder of real media: $AVREP_MEDIA, or `shared/media` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    return Path(os.environ.get("AVREP_MEDIA", beside))
