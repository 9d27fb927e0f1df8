"""A data set in its official layout: what must be there, and a plain word where it is not."""

import csv
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from avrep.errors import ConfigError, LayoutError

_MAX_TABLE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a data set lies on disk after its archives were extracted."""

    name: str
    """As people call it, with its version."""
    tree: str
    """What is expected below the root, drawn over several lines."""
    source: str
    """Where its user gets it."""

    def require(self, root: Path, names: Iterable[str]) -> None:
        """Refuse a root that lacks any of these files or folders.

        Raises:
            ConfigError: counts them, names the first few, and shows the tree.
        """
        missing = [name for name in names if not (root / name).exists()]
        if missing:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise self.error(root, f"{len(missing)} missing: {shown}")

    def error(self, root: Path, fault: str) -> LayoutError:
        """What is wrong, beside the tree that was expected."""
        return LayoutError(
            f"{root} is not {self.name} as it was expected: {fault}. Mend: get it from {self.source}",
            f"{root}\n{textwrap.indent(self.tree, '    ')}",
        )

    def check_counts(
        self,
        root: Path,
        found: Mapping[str, int],
        official: Mapping[str, int],
        *,
        own_data: bool,
    ) -> tuple[str, ...]:
        """Refuse parts of other sizes than the official data set's.

        Args:
            root: the data set's.
            found: how many there are of what.
            official: likewise.
            own_data: whether it is another data set in this layout.

        Returns:
            Notes for the result: that the data are others.

        Raises:
            ConfigError: counts differ, and it is not `own_data`; or there is nothing of something.
        """
        wrong = {name: count for name, count in official.items() if found[name] != count}
        empty = [name for name, count in found.items() if not count]
        if empty:
            raise self.error(root, f"there is no {empty[0]}")
        if not wrong:
            return ()
        told = ", ".join(
            f"{found[name]} {name} (officially {count})" for name, count in wrong.items()
        )
        if not own_data:
            fault = f"it has {told}; for data of your own in this layout: --own-data"
            raise self.error(root, fault)
        return (f"not the official {self.name} but other data in its layout: {told}",)


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header.

    Raises:
        ConfigError: it is over 256 MiB, not UTF-8, lacks a column, or a row is cut short.
    """
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise ConfigError(f"{path} is over {_MAX_TABLE_BYTES >> 20} MiB: not a table of recordings")
    wanted = list(columns)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in wanted if name not in (reader.fieldnames or ())]
            if lacking:
                has = ", ".join(reader.fieldnames or ())
                raise ConfigError(f"{path} has no column {lacking[0]!r}; its columns are {has}")
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}") from None
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None for name in wanted):
            raise ConfigError(f"{path.name}:{number}: the row is cut short")
    return rows
