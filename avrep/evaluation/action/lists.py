"""Reading the text files that list videos, and refusing faults by count and example."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from avrep.errors import ConfigError

_MAX_LIST_BYTES = 256 << 20


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, stripped, after its place for messages ("testlist01.txt:7").

    CRLF line ends and a byte order mark are tolerated.

    Raises:
        ConfigError: no such file, more than 256 MiB, or not UTF-8.
    """
    if not path.is_file():
        raise ConfigError(f"no list {path.name} in {path.parent}. Mend: give the lists' own folder")
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise ConfigError(f"{path} is over {_MAX_LIST_BYTES >> 20} MiB: not a list of videos")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path.name}:{number}", line.strip()


def is_label(text: str) -> bool:
    """Whether the text is a plain decimal number of a size that a label can have."""
    return text.isascii() and text.isdigit() and len(text) < 7


def refuse(found: Sequence[str], what: str, mend: str, shown: int = 3) -> None:
    """Raise one ConfigError that counts the faults `found` and shows the first few, if any."""
    if found:
        raise ConfigError(f"{counted(found, what, shown)}. Mend: {mend}")


def counted(found: Sequence[str], what: str, shown: int = 3) -> str:
    """How many were found, what they are, and the first few of them."""
    more = ", ..." if len(found) > shown else ""
    return f"{len(found)} {what}: {', '.join(found[:shown])}{more}"
