"""Reads a run folder into frozen nouns, and says of each file that it could not read why.

Nothing in the folder is trusted: sizes are limited, numbers are checked to be numbers, and a
half-written last line (a run that was killed, or is still writing) is passed over and counted.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from avrep.errors import ConfigError
from avrep.evaluation.results import EvalRow, read_rows
from avrep.training.guard import Incident, read_incidents

_TEXT_LIMIT_BYTES = 4 << 20
_METRICS_LIMIT_BYTES = 256 << 20
_PICTURE_LIMIT_BYTES = 64 << 20
_LINE_LIMIT_BYTES = 64 << 10
_COLUMN_LIMIT = 64
# Beyond this a number counts as infinite: no float32 is larger, and no curve could show it.
_LARGEST = 3.5e38
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A run's metrics by column. Where a step's line lacks a key, its value is NaN."""

    steps: npt.NDArray[np.int64]
    """Ascending, each once: of a resumed run, the last line of a step is the one that counts."""
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    not_finite: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The steps at which a value was there but was NaN, infinite or beyond float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """Everything that a report shows. An absent file gives an empty part."""

    name: str
    """The folder's own name."""
    written_s: float
    """When the newest of the files was written, seconds since 1970."""
    config_text: str
    config: Mapping[str, object]
    environment: Mapping[str, object]
    metrics: Metrics
    results: tuple[EvalRow, ...]
    health: Mapping[str, object]
    corpora: Mapping[str, Mapping[str, object]]
    """The health of each further corpus of a mixture, by name."""
    incidents: tuple[Incident, ...]
    """Steps that something was wrong with, the first rank's part of each."""
    pictures: Mapping[str, bytes]
    """PNG bytes by file name: `contact_sheet.png`, `corpus.png`."""
    notes: tuple[str, ...]
    """One line for each file, or part of one, that could not be read."""


def read_run(run_dir: Path) -> RunFiles:
    """Reads what a run wrote.

    Raises:
        ConfigError: `run_dir` is not a folder, or holds none of a run's files.
    """
    if not run_dir.is_dir():
        raise ConfigError(f"{run_dir} is not a folder; give the folder that the run wrote")
    names = ("config.yaml", "environment.json", "metrics.jsonl", "health.json")
    pictures = ("contact_sheet.png", "corpus.png")
    tables = sorted((run_dir / "evaluation").glob("*.json"))
    found = [p for p in (*(run_dir / n for n in (*names, *pictures)), *tables) if p.is_file()]
    if not found:
        raise ConfigError(
            f"{run_dir} holds no run: expected one of {', '.join(names)} or evaluation/*.json in it"
        )
    notes: list[str] = []
    config_text = _text(run_dir / "config.yaml", notes)
    return RunFiles(
        name=" / ".join(run_dir.resolve().parts[-2:]),
        written_s=max(p.stat().st_mtime for p in found),
        config_text=config_text,
        config=_config(config_text, notes),
        environment=_json_object(run_dir / "environment.json", notes),
        metrics=_metrics(run_dir / "metrics.jsonl", notes),
        results=tuple(row for path in tables for row in _results(path, notes)),
        health=_json_object(run_dir / "health.json", notes),
        corpora={
            path.parent.name: _json_object(path, notes)
            for path in sorted(run_dir.glob("corpora/*/health.json"))
        },
        incidents=_incidents(run_dir, notes),
        pictures={n: b for n in pictures if (b := _picture(run_dir / n, notes))},
        notes=tuple(notes),
    )


def _text(path: Path, notes: list[str], limit_bytes: int = _TEXT_LIMIT_BYTES) -> str:
    return _bytes(path, notes, limit_bytes).decode("utf-8", "replace")


def _bytes(path: Path, notes: list[str], limit_bytes: int) -> bytes:
    """The file's bytes; none, and a note, when it is too large or cannot be read."""
    if not path.is_file():
        return b""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            notes.append(f"{path.name}: {size_bytes} bytes, more than {limit_bytes}; not shown")
            return b""
        return path.read_bytes()
    except OSError as error:
        notes.append(f"{path.name}: {error.strerror}")
        return b""


def _config(text: str, notes: list[str]) -> Mapping[str, object]:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        notes.append(f"config.yaml: not YAML ({_first_line(error)})")
        return {}
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def _json(path: Path, notes: list[str]) -> object:
    text = _text(path, notes)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        notes.append(f"{path.name}: not JSON ({_first_line(error)})")
        return None


def _json_object(path: Path, notes: list[str]) -> Mapping[str, object]:
    value = _json(path, notes)
    if isinstance(value, dict):
        return value
    if value is not None:
        notes.append(f"{path.name}: expected a JSON object, found a {type(value).__name__}")
    return {}


def _picture(path: Path, notes: list[str]) -> bytes:
    data = _bytes(path, notes, _PICTURE_LIMIT_BYTES)
    if data and not data.startswith(_PNG_SIGNATURE):
        notes.append(f"{path.name}: not a PNG; not shown")
        return b""
    return data


def _metrics(path: Path, notes: list[str]) -> Metrics:
    empty = Metrics(steps=np.zeros(0, np.int64))
    if not path.is_file():
        return empty
    if path.stat().st_size > _METRICS_LIMIT_BYTES:
        notes.append(f"{path.name}: more than {_METRICS_LIMIT_BYTES} bytes; no curves drawn")
        return empty
    by_step: dict[int, dict[str, float]] = {}
    num_bad = 0
    for record in _lines(path):
        step = None if record is None else _integer(record.get("step"))
        if record is None or step is None:
            num_bad += 1
            continue
        by_step[step] = {
            k: n for k, v in record.items() if k != "step" and (n := _number(v)) is not None
        }
    if num_bad:
        notes.append(f"{path.name}: passed over {num_bad} of its lines (half-written or damaged)")
    return _columns(by_step, notes)


def _columns(by_step: Mapping[int, Mapping[str, float]], notes: list[str]) -> Metrics:
    steps = sorted(by_step)
    keys = list(dict.fromkeys(key for step in steps for key in by_step[step]))
    if len(keys) > _COLUMN_LIMIT:
        notes.append(f"metrics.jsonl: {len(keys)} metrics, the first {_COLUMN_LIMIT} are shown")
    columns: dict[str, npt.NDArray[np.float64]] = {}
    not_finite: dict[str, tuple[int, ...]] = {}
    for key in keys[:_COLUMN_LIMIT]:
        values = np.array([by_step[step].get(key, math.nan) for step in steps])
        usable = np.abs(values) <= _LARGEST
        odd = tuple(
            s for s, fine in zip(steps, usable, strict=True) if key in by_step[s] and not fine
        )
        if odd:
            not_finite[key] = odd
        columns[key] = np.where(usable, values, math.nan)
    return Metrics(steps=np.array(steps, np.int64), columns=columns, not_finite=not_finite)


def _lines(path: Path) -> Iterator[dict[str, object] | None]:
    """Each line's object; None for a line that is none, among them one that is too long."""
    with path.open("rb") as file:
        while line := file.readline(_LINE_LIMIT_BYTES):
            if len(line) == _LINE_LIMIT_BYTES and not line.endswith(b"\n"):
                while (rest := file.readline(_LINE_LIMIT_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield None
            elif line.strip():
                yield _object(line)


def _object(line: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _results(path: Path, notes: list[str]) -> tuple[EvalRow, ...]:
    try:
        return read_rows(path)
    except (ConfigError, OSError) as error:
        # The report travels; where the run lay on this machine does not concern its readers.
        notes.append(f"evaluation/{_first_line(error).replace(str(path), path.name)}")
        return ()


def _incidents(run_dir: Path, notes: list[str]) -> tuple[Incident, ...]:
    paths = (run_dir / "incidents").glob("rank-*.jsonl")
    if sum(path.stat().st_size for path in paths) > _METRICS_LIMIT_BYTES:
        notes.append(f"incidents: more than {_METRICS_LIMIT_BYTES} bytes; none shown")
        return ()
    try:
        return tuple(one for one in read_incidents(run_dir) if one.rank == 0)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        notes.append(f"incidents: {_first_line(error)}")
        return ()


def _number(value: object) -> float | None:
    """The value when it is a number, NaN and infinities among them; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _integer(value: object) -> int | None:
    """The value when it is a whole number that counts something."""
    number = _number(value)
    if number is None or not number.is_integer() or not 0 <= number <= 2**53:
        return None
    return int(number)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
