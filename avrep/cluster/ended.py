"""What ended trainers so that a restart would end them again: left in the run's folder for all to read.

One rank alone may meet it, while the others wait for that rank in an exchange. So it raises, whereupon
Ray stops all of them. Whoever would start them again reads the note, and so do they.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avrep.errors import AvrepError, ConfigError, FailureBudgetExceeded
from avrep.media.put_in_place import write_in_place
from avrep.training import parallel

_FOLDER = "ended"
# Storage may be back after a restart, and a trainer that died may live.
_FINAL: tuple[type[AvrepError], ...] = (ConfigError, FailureBudgetExceeded)


@contextmanager
def noting_end(run_dir: Path) -> Iterator[None]:
    """Write down an error that a restart cannot mend, and let it pass."""
    try:
        yield
    except _FINAL as error:
        kind = next(kind for kind in _FINAL if isinstance(error, kind))
        # All ranks may come here together.
        path = run_dir / _FOLDER / f"rank-{parallel.rank():05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_in_place(json.dumps({"kind": kind.__name__, "message": str(error)}), path)
        raise


def why_ended(run_dir: Path) -> AvrepError | None:
    """The error that was written down, of several ranks' the first; None where none was."""
    path = next(iter(_notes(run_dir)), None)
    if path is None:
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    kind = next(kind for kind in _FINAL if kind.__name__ == told["kind"])
    return kind(told["message"])


def forget_end(run_dir: Path) -> None:
    """Before trainers are started by a person: what ended them then may be mended."""
    for path in _notes(run_dir):
        path.unlink(missing_ok=True)


def _notes(run_dir: Path) -> list[Path]:
    return sorted((run_dir / _FOLDER).glob("rank-*.json"))
