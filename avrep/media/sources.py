"""What there is to index below a source: files of a folder or URL, members of tar shards, labels."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast

from fsspec import AbstractFileSystem
from fsspec.utils import get_protocol

from avrep.errors import ConfigError, ShardError
from avrep.media.faults import is_missing
from avrep.media.retries import retried
from avrep.media.shards import open_window
from avrep.media.storage import StorageConfig, open_storage
from avrep.types import MediaItem

T = TypeVar("T")

MEDIA_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".flv",
        ".wmv",
        ".3gp",
        ".ogv",
        ".y4m",
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".aac",
        ".wma",
        ".aif",
        ".aiff",
        ".sph",
        ".ac3",
    ]
)
"""Files with other endings are passed over; they are counted, not rejected."""

_LABELS_FILE = "labels.csv"
_NOT_TEXT = "its name is not UTF-8; rename it"
_SIDECAR_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """A byte range that should hold one media item."""

    key: str
    shard: str
    offset_bytes: int
    length_bytes: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What was found below the sources."""

    root: str
    """The folder or URL that the entries' shards are relative to."""
    entries: tuple[SourceEntry, ...]
    num_passed_over: int
    """Files that are neither media nor tar shards."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """(shard, reason) of tar shards that cannot be listed; (key, reason) of names that are no text."""
    notices: tuple[str, ...] = ()
    """What a person should know: a table of labels that is not of our form, and so not used."""


def list_sources(sources: Sequence[str], storage: StorageConfig | None = None) -> Listing:
    """Walk folders, single files, tar shards and fsspec URLs.

    An item's key is its path below the source; with several sources, the source's name comes
    first. Labels come from a `labels.csv` at the top of a source (column `path`, every other
    column a label), else from the folder that holds the file, as the label `class`; members of a
    tar shard may have theirs in a flat `.json` member of the same name (WebDataset's layout).

    Args:
        sources: what to walk.
        storage: how patiently stores are asked; the defaults of `StorageConfig` when None.

    Raises:
        ConfigError: a source does not exist or holds no media.
        ShardError: a source cannot be listed; a tar shard that cannot be is in the result instead.
    """
    patience = storage or StorageConfig()
    roots = [_absolute(source, patience) for source in sources]
    several = len(roots) > 1
    entries: list[SourceEntry] = []
    unreadable: list[tuple[str, str]] = []
    notices: list[str] = []
    num_passed_over = 0
    for root in roots:
        files = _files(root, patience)
        labels = _label_table(root, {relative for relative, _ in files}, notices, patience)
        folder = _folder(root, patience)
        prefix = f"{PurePosixPath(root).name}/" if several else ""
        for relative, length_bytes in files:
            suffix = PurePosixPath(relative).suffix.lower()
            url = f"{folder}/{relative}"
            shard = url if several else relative
            if suffix == ".tar":
                try:
                    entries += _tar_members(url, length_bytes, prefix + relative, shard, patience)
                except ShardError as error:
                    unreadable.append((shard, str(error)))
            elif suffix in MEDIA_SUFFIXES:
                entries.append(
                    SourceEntry(
                        key=prefix + relative,
                        shard=shard,
                        offset_bytes=0,
                        length_bytes=length_bytes,
                        labels=labels.get(relative, {})
                        if labels is not None
                        else _folder_label(relative),
                    )
                )
            else:
                num_passed_over += 1
    unreadable += [(_as_text(e.key), _NOT_TEXT) for e in entries if _as_text(e.key) != e.key]
    entries = [entry for entry in entries if _as_text(entry.key) == entry.key]
    if not entries and not unreadable:
        raise ConfigError(
            f"no media below {', '.join(sources)} ({num_passed_over} other files); "
            "avrep reads video and audio files and .tar shards of them"
        )
    return Listing(
        root="" if several else _folder(roots[0], patience),
        entries=tuple(entries),
        num_passed_over=num_passed_over,
        unreadable=tuple(unreadable),
        notices=tuple(notices),
    )


def _as_text(name: str) -> str:
    """A file's name as text: Python keeps bytes that are not UTF-8 in code points of their own."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _asked(url: str, storage: StorageConfig, question: Callable[[AbstractFileSystem, str], T]) -> T:
    """What a store answers, asked again where that may help."""
    return retried(lambda: question(*open_storage(url, storage)), url, storage)


def _absolute(source: str, storage: StorageConfig) -> str:
    if not _asked(source, storage, _exists):
        raise ConfigError(f"no such file, folder or URL: {source}")
    fs, path = open_storage(source, storage)
    path = path if get_protocol(source) == "file" else str(fs.unstrip_protocol(path))
    return path.rstrip("/")


def _exists(fs: AbstractFileSystem, path: str) -> bool:
    # fsspec's own `exists` takes any answer but success, a failing server's too, for a no.
    try:
        fs.info(path)
    except Exception as error:
        if is_missing(error):
            return False
        raise
    return True


def _folder(root: str, storage: StorageConfig) -> str:
    """The folder that holds a source's files: the source, or its parent when it is a file."""
    is_folder = _asked(root, storage, lambda fs, path: fs.isdir(path))
    return root if is_folder else root.rpartition("/")[0]


def _files(root: str, storage: StorageConfig) -> list[tuple[str, int]]:
    """(path below the root's folder, bytes) of every file, in the order of their names."""
    if not _asked(root, storage, lambda fs, path: fs.isdir(path)):
        return [(PurePosixPath(root).name, _length_bytes(root, storage))]
    found = _asked(root, storage, _find)
    base = open_storage(root, storage)[1].rstrip("/") + "/"
    files: list[tuple[str, int]] = []
    for name, length_bytes in found.items():
        relative = name.removeprefix(base)
        if PurePosixPath(name).name.startswith("."):
            continue
        if length_bytes is None:
            # A listing over HTTP has no sizes.
            length_bytes = _length_bytes(f"{root}/{relative}", storage)
        files.append((relative, length_bytes))
    return sorted(files)


def _find(fs: AbstractFileSystem, path: str) -> dict[str, int | None]:
    found = cast(dict[str, dict[str, Any]], fs.find(path, detail=True))
    return {name: info.get("size") for name, info in found.items()}


def _length_bytes(url: str, storage: StorageConfig) -> int:
    length_bytes = _asked(url, storage, lambda fs, path: fs.info(path).get("size"))
    if length_bytes is None:
        raise ConfigError(f"{url}: its server does not tell how long it is; copy it first")
    return int(length_bytes)


def _folder_label(relative: str) -> dict[str, str]:
    parent = PurePosixPath(relative).parent.name
    return {"class": parent} if parent else {}


def _label_table(
    root: str, relatives: set[str], notices: list[str], storage: StorageConfig
) -> dict[str, dict[str, str]] | None:
    if _LABELS_FILE not in relatives:
        return None
    url = f"{_folder(root, storage)}/{_LABELS_FILE}"
    content = _asked(url, storage, lambda fs, path: fs.cat_file(path))
    text = cast(bytes, content).decode("utf-8-sig", errors="replace")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if rows and "path" not in rows[0]:
        notices.append(
            f"{root}/{_LABELS_FILE} is not used: it has no column `path`, but {', '.join(rows[0])}"
        )
        return None
    return {
        row["path"]: {
            name: value for name, value in row.items() if name and name != "path" and value
        }
        for row in rows
    }


def _tar_members(
    url: str, length_bytes: int, key_prefix: str, shard: str, storage: StorageConfig
) -> list[SourceEntry]:
    """The media members of an uncompressed tar, by their byte ranges: nothing is unpacked."""
    whole = MediaItem(key=url, shard=url, offset_bytes=0, length_bytes=length_bytes, duration_s=0.0)
    try:
        with (
            open_window(whole, "", storage) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            members = [member for member in tar if member.isreg()]
            sidecars = {
                member.name.removesuffix(".json"): _sidecar_labels(tar, member)
                for member in members
                if member.name.endswith(".json") and member.size <= _SIDECAR_LIMIT_BYTES
            }
    except tarfile.TarError as error:
        raise ShardError(f"{url} is not an uncompressed tar file ({error})") from error
    return [
        SourceEntry(
            key=f"{key_prefix}/{member.name}",
            shard=shard,
            offset_bytes=member.offset_data,
            length_bytes=member.size,
            labels=sidecars.get(_stem(member.name), _folder_label(member.name)),
        )
        for member in members
        if PurePosixPath(member.name).suffix.lower() in MEDIA_SUFFIXES
    ]


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _sidecar_labels(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, str]:
    file = tar.extractfile(member)
    try:
        fields = json.loads(file.read()) if file else {}
    except ValueError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {str(k): str(v) for k, v in fields.items() if isinstance(v, str | int | float)}
