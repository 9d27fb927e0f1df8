"""A run's whole configuration: the parts' configs in one tree, from YAML and `--set` overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.media.decode import DecoderName
from avrep.media.limits import DecodeLimits
from avrep.media.storage import StorageConfig
from avrep.methods import AudioEncoderConfig, JointConfig, SingleObjectiveConfig, VideoEncoderConfig
from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.pipeline.stream import PREFETCH_BYTES
from avrep.training.loop import TrainConfig

T = TypeVar("T", bound=FrozenConfig)


class DataConfig(FrozenConfig):
    """Where clips come from."""

    catalog: str
    """The Parquet file that `avrep index` wrote."""
    root: str | None = None
    """Where the shards are now, if they moved since they were indexed."""
    split: str | None = None
    """Only items whose label `split` has this value."""
    keys: str | None = None
    """Only items whose keys are lines of this text file."""
    num_decode_actors: int = Field(default=2, ge=0)
    """Ray actors that decode for each trainer; 0 decodes in the trainer itself, without Ray."""
    max_decode_actors: int | None = Field(default=None, gt=0)
    """As many decode while the trainer waits for them, and fewer again, down to `num_decode_actors`,
    when they have little to do; None: there are always `num_decode_actors`. Batches are the same."""
    prefetch_bytes: int = Field(default=PREFETCH_BYTES, gt=0)
    """Hard budget, for each trainer, of the clips that its actors have made or are making ahead."""
    read_ahead_bytes: int = Field(default=READ_AHEAD_BYTES, ge=0)
    """Budget, for each actor, of bytes fetched ahead of the decoder in long reads."""
    shuffle: ShuffleConfig = ShuffleConfig()
    draws_per_visit: int = Field(default=1, ge=1, le=64)
    """Draws of an item each time that it is decoded (repeated sampling); they share a batch, and
    count in `train.batch_size`."""
    decoder: DecoderName = "pyav"
    limits: DecodeLimits = DecodeLimits()
    storage: StorageConfig = StorageConfig()
    max_failure_share: float = Field(default=0.05, ge=0, le=1)
    """The run stops when more than this share of the items that it asked for failed."""
    ledger: bool = True
    """Write down which item reached the trainer in which step, for `avrep ledger`."""

    @property
    def most_decode_actors(self) -> int:
        """How many there may be at a time."""
        least, most = self.num_decode_actors, self.max_decode_actors
        return least if most is None or least == 0 else most

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.max_decode_actors is not None and self.max_decode_actors < self.num_decode_actors:
            raise ValueError(
                f"max_decode_actors is {self.max_decode_actors}; it must be at least "
                f"num_decode_actors, {self.num_decode_actors}"
            )
        return self


class CorpusConfig(FrozenConfig):
    """A further corpus of a mixture. What is not said here is as in `data`.

    Each step has `batch_size` of its items beside `train.batch_size` items of `data`: that is the
    ratio in which they are mixed. It has decode actors and budgets of its own, as large.
    """

    catalog: str
    root: str | None = None
    split: str | None = None
    keys: str | None = None
    batch_size: int = Field(gt=0)
    """Items in a step, over all ranks."""
    draws_per_visit: int = Field(default=1, ge=1, le=64)


class StartConfig(FrozenConfig):
    """Encoders that another run trained, to begin with."""

    run: str
    """A run's folder. It must have every encoder that this run has, of the same config. What its
    objective had beside them is left behind, but for the projections of segment_avclip: synchformer
    goes on with them where they are as wide as its transformer."""
    frozen: bool = False
    """The encoders stay as they are there, in evaluation mode: only what the objective has beside
    them is trained, as in Synchformer's second stage."""


class EvaluationConfig(FrozenConfig):
    """Which clips an encoder is measured on; frames are as far apart as in pretraining."""

    num_clips: int = Field(default=4, ge=2, le=100)
    """Evenly spaced clips of each video. The field's usual figure is 10."""
    num_crops: Literal[1, 3] = 1
    """Square crops of each clip: the centre, or left, centre and right along the longer side."""
    num_frames: int | None = Field(default=None, gt=0)
    """Frames of a clip, if not as many as the encoder is trained on at a time: those of a training
    clip, or of a segment where the objective cuts its clips into segments."""
    crop_px: int | None = Field(default=None, ge=8, le=2048)
    """Side of the crops, to which the frames' shorter side is scaled; as in pretraining if None."""
    batch_size: int = Field(default=16, gt=0)


class RunConfig(FrozenConfig):
    """Everything that decides what a run computes."""

    seed: int = Field(default=0, ge=0)
    data: DataConfig
    corpora: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], CorpusConfig] = Field(
        default_factory=dict
    )
    """By name: a `joint` objective's parts say which of them they train on."""
    video_encoder: VideoEncoderConfig | None = None
    audio_encoder: AudioEncoderConfig | None = None
    objective: Annotated[SingleObjectiveConfig | JointConfig, Field(discriminator="kind")]
    start: StartConfig | None = None
    """Where the encoders' first weights come from; None: fresh ones."""
    train: TrainConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        # Of the first corpus, the training's config asks the same.
        parts = self.train.num_workers * self.train.num_micro_batches
        for name, corpus in self.corpora.items():
            if self.train.num_micro_batches > 1 and corpus.batch_size % parts:
                raise ValueError(
                    f"corpora.{name}.batch_size is {corpus.batch_size}; it must be a multiple of "
                    f"train.num_workers times train.num_micro_batches, {parts}"
                )
        return self

    @model_validator(mode="after")
    def _corpora_are_used(self) -> Self:
        if "data" in self.corpora:
            raise ValueError("corpora: data is the name of the run's first; choose another")
        joint = self.objective if isinstance(self.objective, JointConfig) else None
        parts = list(joint.parts.values()) if joint else []
        named = {part.corpus for part in parts if part.corpus is not None}
        if unknown := sorted(named - self.corpora.keys()):
            raise ValueError(f"no corpus {unknown[0]!r} in corpora; add it, with its catalog")
        if idle := sorted(self.corpora.keys() - named):
            raise ValueError(
                f"no part of the objective has corpus: {idle[0]}; take it out of corpora, or add "
                "a part of a joint objective that trains on it"
            )
        if joint and all(part.corpus is not None for part in parts):
            raise ValueError("at least one part of the objective must train on data")
        return self

    def corpus(self, name: str) -> DataConfig:
        """How a further corpus is read."""
        own = self.corpora[name].model_dump(exclude={"batch_size"})
        return self.data.model_copy(update=own)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML config and apply overrides.

    Args:
        path: the YAML file.
        overrides: `key.path=value`, the value as YAML: `train.num_steps=200`.

    Raises:
        ConfigError: no such file, not YAML, or a key or value that no part accepts.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no config at {path}; see configs/ for examples")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold keys and values; see configs/ for examples")
    for override in overrides:
        _override(tree, override)
    return parse_config(tree, str(path))


def parse_config(tree: dict[str, Any], source: str) -> RunConfig:
    """Check a tree of plain values.

    Raises:
        ConfigError: naming the first key that is wrong, where it came from and what would be right.
    """
    return _validated(RunConfig, tree, source)


def read_overrides(base: T, overrides: Sequence[str]) -> T:
    """A part's config with `key=value` overrides, the value as YAML.

    Raises:
        ConfigError: a key or value that it does not accept.
    """
    tree = base.model_dump(mode="json")
    for override in overrides:
        _override(tree, override)
    return _validated(type(base), tree, "--set")


def _validated(model: type[T], tree: dict[str, Any], source: str) -> T:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = error.errors()
        first: dict[str, Any] = {**problems[0]}
        where = ".".join(_path(first["loc"], tree)) or "the file"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        if first["type"] == "extra_forbidden":
            what = "no such key"
        elif first["type"] == "value_error":
            what = str(first["ctx"]["error"])
        else:
            given = "" if first["type"] == "missing" else f", got {first['input']!r}"
            what = first["msg"][:1].lower() + first["msg"][1:] + given
        raise ConfigError(f"{source}: {where}: {what}{more}") from error


def _path(location: tuple[int | str, ...], tree: Any) -> list[str]:
    """Where in the file a problem lies: pydantic puts the kind of a part into its path."""
    found: list[str] = []
    for place in location:
        if isinstance(tree, dict) and place == tree.get("kind") and place not in tree:
            continue
        tree = tree.get(place) if isinstance(tree, dict) else None
        found.append(str(place))
    return found


def dump_config(config: RunConfig) -> str:
    """The config as YAML, every default written out, so that the file says what ran."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Key path -> "old -> new" of every value that differs between two dumped configs."""
    found: dict[str, str] = {}
    for key in old.keys() | new.keys():
        path = f"{prefix}{key}"
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= differences(before, after, f"{path}.")
        elif before != after:
            found[path] = f"{before!r} -> {after!r}"
    return dict(sorted(found.items()))


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: write it as key.path=value, e.g. train.num_steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: {text!r} is not a YAML value") from error
    *parents, last = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a group of keys")
    tree[last] = value
