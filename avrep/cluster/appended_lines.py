"""Lines of a file as they are appended to it, though the file may be cut: a run that resumes writes it
anew with the lines up to its checkpoint.
"""

import os
from collections.abc import Iterator
from pathlib import Path


class AppendedLines:
    """What comes to a file from now on, each line once.

    Args:
        path: the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._place = 0
        self._number = 0
        self._told: list[int] = []
        """The hash of each line that was there or was told."""
        for _ in self.new():
            pass

    def new(self) -> Iterator[str]:
        """The lines since the last call, whole ones only.

        Of a file that was written anew, those after the first line that is not as before.
        """
        if not self._path.is_file():
            return
        with self._path.open(encoding="utf-8") as file:
            stat = os.fstat(file.fileno())
            if stat.st_ino != self._inode or stat.st_size < self._place:
                self._inode, self._place, self._number = stat.st_ino, 0, 0
            file.seek(self._place)
            while (line := file.readline()).endswith("\n"):
                self._place = file.tell()
                is_known = self._told[self._number : self._number + 1] == [hash(line)]
                if not is_known:
                    self._told[self._number :] = [hash(line)]
                self._number += 1
                if not is_known:
                    yield line
