"""What one encoder scored on one task of a data set: enough to be quoted, and to be doubted."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError

from avrep.errors import ConfigError
from avrep.evaluation.metrics import Interval
from avrep.frozen import FrozenConfig
from avrep.media.put_in_place import write_in_place

_MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number with its interval."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    """As the field calls it, in lower case: "acc", "wer", "eer", "r@1"."""
    value: float
    """As a fraction where the field quotes percent: 0.0484, not 4.84."""
    ci_low: float
    ci_high: float
    num_items: int
    """What was scored: utterances, videos, trials."""
    num_clusters: int
    """Independent groups among them, such as speakers, that the interval was drawn over."""
    higher_is_better: bool = True
    in_percent: bool = True
    """Whether tables show it times 100, as the field does."""
    chance: float | None = None
    """What features that know nothing score, where that is known."""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not self.ci_low <= self.value <= self.ci_high:
            raise ValueError(f"{self.name} {self.value} outside [{self.ci_low}, {self.ci_high}]")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.name} is {self.value}")


def as_metric(
    name: str,
    interval: Interval,
    num_items: int,
    *,
    chance: float | None = None,
    higher_is_better: bool = True,
    in_percent: bool = True,
    confidence: float = 0.95,
) -> Metric:
    """A metric of an interval; arguments as in Metric."""
    return Metric(
        name=name,
        value=interval.value,
        ci_low=interval.low,
        ci_high=interval.high,
        num_items=num_items,
        num_clusters=interval.num_clusters,
        higher_is_better=higher_is_better,
        in_percent=in_percent,
        chance=chance,
        confidence=confidence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """Which encoder was measured."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    """As it was asked for: a run's folder, `logmel`, `torchaudio:HUBERT_BASE`."""
    digest: str
    """Of its weights and of what its input goes through; the same for the same numbers."""
    num_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """Which data it was measured on."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    digest: str
    """Of the lists: which items, in which part, with which labels. Not of the media's bytes."""
    num_train: int
    num_valid: int
    num_test: int
    part: str = ""
    """Which of several: "split 1", "fold 2"; empty where there is one, or over all of them."""
    other_lists: bool = False
    """Whether these are other data in the official layout, or a part: published figures are of others."""


class TaskResult(FrozenConfig):
    """The result of one task; the form of its JSON file."""

    schema_name: Literal["avrep.task"] = Field(default="avrep.task", alias="schema")
    version: Literal[1] = 1
    task: str
    """`ucf101`, `superb/ks`."""
    protocol: str
    """What was done with the encoder: `linear`, `superb`, `finetune`."""
    protocol_version: int
    """Goes up when a mend would change the numbers."""
    encoder: EncoderFacts
    data: DataFacts
    metrics: tuple[Metric, ...] = Field(min_length=1)
    """The first leads."""
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """What decides the numbers: steps, batch, clips; and what was chosen on held-out data, such as
    the learning rate."""
    notes: tuple[str, ...] = ()
    """What a reader must know: what differs from the published protocol, what could not be used."""


def write_result(path: Path, result: TaskResult) -> None:
    """Write a result as JSON; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_place(result.model_dump_json(by_alias=True, indent=1) + "\n", path)


def read_result(path: Path) -> TaskResult:
    """Read what `write_result` wrote; ConfigError for anything else."""
    if not path.is_file():
        raise ConfigError(f"no result {path}. Mend: avrep evaluate RUN --task TASK --root DIR")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ConfigError(f"{path} is over {_MAX_FILE_BYTES >> 20} MiB: not a result")
    try:
        return TaskResult.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path} is no result of a task: {where}: {first['msg']}") from None
