"""Rows of results: written, read back, and laid out as a table."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError

from avrep.errors import ConfigError
from avrep.evaluation.aggregate import Over
from avrep.evaluation.metrics import Method
from avrep.evaluation.scores import Protocol
from avrep.frozen import FrozenConfig

Encoder = Literal["pretrained", "untrained", "difference"]
Task = Literal["catalog", "ucf101", "folders"]

_MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRow:
    """One number of one encoder, with its interval."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    task: Task
    protocol: Protocol
    label: str
    """The label set asked for ("class", "motion"), or "item"."""
    encoder: Encoder
    """"difference" is pretrained minus untrained, on the same videos."""
    metric: str
    """"top1", "mean_class", "R@1", "MRR"."""
    value: float
    """In [0, 1]; a difference in [-1, 1]."""
    ci_low: float
    ci_high: float
    num_test: int
    """Test videos."""
    num_clusters: int
    """Independent groups among them."""
    chance: float
    """What features that know nothing score; 0 for a difference."""
    fold: int | None
    """From 1; None when there is one split only, or the row is over several folds."""
    seed: int
    over: Over = "videos"
    interval: Method = "bootstrap"
    confidence: float = 0.95
    note: str = ""

    def __post_init__(self) -> None:
        if not self.ci_low <= self.value <= self.ci_high or not math.isfinite(self.chance):
            raise ValueError(f"value {self.value} outside [{self.ci_low}, {self.ci_high}]")


class _File(FrozenConfig):
    """The form of a results file."""

    schema_name: Literal["avrep.evaluation"] = Field(alias="schema")
    version: Literal[1]
    rows: tuple[EvalRow, ...]


def write_rows(path: Path, rows: Sequence[EvalRow]) -> None:
    """Write rows as JSON; the file appears whole or not at all."""
    text = _File(schema="avrep.evaluation", version=1, rows=tuple(rows)).model_dump_json(
        by_alias=True, indent=1
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_rows(path: Path) -> tuple[EvalRow, ...]:
    """Read what `write_rows` wrote; ConfigError for anything else."""
    if not path.is_file():
        raise ConfigError(f"no results file {path}. Mend: evaluate first")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ConfigError(f"{path} is over {_MAX_FILE_BYTES >> 20} MiB: not a results file")
    try:
        return _File.model_validate_json(path.read_bytes(), strict=True).rows
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(
            f"{path} is no results file of version 1: {where}: {first['msg']}"
        ) from None


def table_rows(rows: Sequence[EvalRow]) -> tuple[tuple[str, ...], ...]:
    """Lines of a compact table, header first, in percent: the encoders side by side.

    One line for each (task, fold, over, seed, label, protocol, metric), in order of appearance;
    an encoder that was not measured leaves its cell empty.
    """
    lines: dict[tuple[object, ...], dict[Encoder, EvalRow]] = {}
    for row in rows:
        place = (row.task, row.fold, row.over, row.seed, row.label, row.protocol, row.metric)
        lines.setdefault(place, {})[row.encoder] = row
    header = ("task", "label", "protocol", "metric", "pretrained", "untrained", "difference")
    table: list[tuple[str, ...]] = [(*header, "chance", "videos", "groups")]
    for found in lines.values():
        one = next(iter(found.values()))
        measured = [row for row in found.values() if row.encoder != "difference"]
        table.append(
            (
                one.task + _which(one),
                one.label,
                one.protocol,
                one.metric,
                *(_cell(found.get(name)) for name in ("pretrained", "untrained", "difference")),
                f"{100 * measured[0].chance:.1f}" if measured else "",
                str(one.num_test),
                str(one.num_clusters),
            )
        )
    return tuple(table)


def _which(row: EvalRow) -> str:
    if row.over != "videos":
        return f" ({row.over})"
    return "" if row.fold is None else f" (fold {row.fold})"


def _cell(row: EvalRow | None) -> str:
    if row is None:
        return ""
    sign = "+" if row.encoder == "difference" else ""
    low, high = 100 * row.ci_low, 100 * row.ci_high
    return f"{100 * row.value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"
