"""Where a run's checkpoints lie: a folder, or a prefix of any store that fsspec knows.

    ROOT/step-00000200/
        ...             what ranks wrote
        state.json      last: with it the checkpoint is whole, without it there is none

Stores have no rename, so that one small object decides, everywhere alike. It appears whole or not
at all, after everything that it speaks of; it is the first to go when a checkpoint is removed.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TypeVar

from fsspec import AbstractFileSystem
from fsspec.utils import get_protocol

from avrep.errors import ConfigError
from avrep.media.faults import is_missing
from avrep.media.put_in_place import put_in_place
from avrep.media.retries import retried
from avrep.media.storage import StorageConfig, open_storage

T = TypeVar("T")

STATE_FILE = "state.json"
_STEP = re.compile(r"step-(\d{8,18})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One of them, by its place."""

    store: "CheckpointStore"
    step: int

    @property
    def name(self) -> str:
        return f"step-{self.step:08d}"

    @property
    def url(self) -> str:
        """Of its folder; a plain path on a disk."""
        return f"{self.store.url}/{self.name}"

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """A place for the checkpoints of one run; it holds nothing open and may cross processes."""

    url: str
    """A folder or an fsspec URL, without a slash at its end."""
    storage: StorageConfig = field(default_factory=StorageConfig)
    """How patiently the store is asked."""

    @property
    def is_local(self) -> bool:
        return get_protocol(self.url) in ("file", "local")

    def checkpoints(self) -> list[Checkpoint]:
        """The whole ones, oldest first.

        Raises:
            ShardError: the store cannot be asked.
        """
        files = self._files()
        return [Checkpoint(self, step) for step in sorted(files) if STATE_FILE in files[step]]

    def latest(self) -> Checkpoint:
        """The newest whole checkpoint.

        Raises:
            ConfigError: there is none.
            ShardError: the store cannot be asked.
        """
        found = self.checkpoints()
        if not found:
            raise ConfigError(f"no checkpoint in {self.url}; did the run of avrep train reach one?")
        return found[-1]

    def put(self, checkpoint: Checkpoint, name: str, write: Callable[[Path], None]) -> None:
        """Put a file into a checkpoint; it appears whole or not at all.

        Args:
            checkpoint: whose it is.
            name: of the file.
            write: makes it, on a disk of this machine.

        Raises:
            OSError: it cannot be written on the disk; or whatever else `write` raises.
            ShardError: the store does not take it.
        """
        url = f"{checkpoint.url}/{name}"
        if self.is_local:
            final = Path(open_storage(url, self.storage)[1])
            final.parent.mkdir(parents=True, exist_ok=True)
            partial = final.with_name(final.name + ".partial")
            write(partial)
            put_in_place(partial, final)
            return
        with TemporaryDirectory(prefix="avrep-checkpoint-") as folder:
            made = Path(folder) / name
            write(made)
            self._asked(url, lambda fs, path: fs.put_file(str(made), path), "write")

    @contextmanager
    def files(self, checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[list[Path]]:
        """Files of a checkpoint as paths on this machine, there while the context lasts.

        Raises:
            ConfigError: one of them is not there.
            ShardError: the store cannot be read.
        """
        if self.is_local:
            folder = Path(open_storage(checkpoint.url, self.storage)[1])
            for name in names:
                if not (folder / name).is_file():
                    raise _damaged(checkpoint, f"{name} is not there")
            yield [folder / name for name in names]
            return
        with TemporaryDirectory(prefix="avrep-checkpoint-") as there:
            paths = [Path(there) / name for name in names]
            for path in paths:
                self._fetch(checkpoint, path)
            yield paths

    def remove(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint away; whatever happens on the way, no part of one stays that looks whole.

        Raises:
            OSError, ShardError: it cannot be removed.
        """
        if self.is_local:
            folder = Path(open_storage(checkpoint.url, self.storage)[1])
            (folder / STATE_FILE).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            return
        names = self._files().get(checkpoint.step, [])
        # Sorted so that the one that makes it whole is the first.
        for name in sorted(names, key=lambda name: name != STATE_FILE):
            self._asked(f"{checkpoint.url}/{name}", lambda fs, path: fs.rm_file(path), "remove")

    def remove_torn(self) -> None:
        """Take away what runs that were killed had begun to write; no run may be writing.

        Raises:
            OSError, ShardError: it cannot be removed.
        """
        for step, names in self._files().items():
            if STATE_FILE not in names:
                self.remove(Checkpoint(self, step))

    def _files(self) -> dict[int, list[str]]:
        """The names of the files of each step, of whole checkpoints and others."""
        found = self._local_names() if self.is_local else self._asked(self.url, _find, "list")
        files: dict[int, list[str]] = {}
        for relative in found:
            folder, _, name = relative.partition("/")
            if match := _STEP.fullmatch(folder):
                files.setdefault(int(match[1]), []).append(name)
        return files

    def _local_names(self) -> list[str]:
        """STEP/FILE of all files; a folder that is being removed may be there or not."""
        names: list[str] = []
        root = Path(open_storage(self.url, self.storage)[1])
        for folder in root.glob("step-*"):
            with suppress(FileNotFoundError, NotADirectoryError):
                # Of an empty one, which was being made or removed, the folder itself.
                names += [f"{folder.name}/{file.name}" for file in folder.iterdir()] or [
                    folder.name
                ]
        return names

    def _fetch(self, checkpoint: Checkpoint, path: Path) -> None:
        url = f"{checkpoint.url}/{path.name}"

        def fetch(fs: AbstractFileSystem, remote: str) -> bool:
            try:
                fs.get_file(remote, str(path))
            except Exception as error:
                if is_missing(error):
                    return False
                raise
            return True

        if not self._asked(url, fetch, "read"):
            raise _damaged(checkpoint, f"{path.name} is not there")

    def _asked(self, url: str, question: Callable[[AbstractFileSystem, str], T], verb: str) -> T:
        """What the store answers, asked again where that may help."""
        return retried(lambda: question(*open_storage(url, self.storage)), url, self.storage, verb)


def _find(fs: AbstractFileSystem, path: str) -> list[str]:
    """Paths of all files below, relative to it; none where there is no such folder."""
    fs.invalidate_cache()
    base = PurePosixPath(path)
    try:
        return [str(PurePosixPath(name).relative_to(base)) for name in fs.find(path)]
    except Exception as error:
        if is_missing(error):
            return []
        raise


def _damaged(checkpoint: Checkpoint, reason: str) -> ConfigError:
    return ConfigError(f"{checkpoint} is damaged ({reason}); remove it to use the one before it")
