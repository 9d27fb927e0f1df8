"""Rows of results: written and read back."""

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
Task = Literal["catalog", "ucf101", "lists", "hmdb51", "kinetics", "ssv2", "video_folder"]

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
