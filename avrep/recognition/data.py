"""The videos of one task, parted into what is trained on, what is chosen on, and what is asked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avrep.config import DataConfig
from avrep.errors import ConfigError
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out, num_held_groups
from avrep.evaluation.task_result import DataFacts
from avrep.evaluation.tasks import TaskItems
from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName
from avrep.media.limits import DecodeLimits
from avrep.media.storage import StorageConfig
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan, Sweep
from avrep.sampling.spec import ViewSpec
from avrep.types import RowNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVideos:
    """Where a task's videos are and how they are read."""

    catalog: Catalog
    task: TaskItems
    label: str = "class"
    """Which of the task's label sets is learnt."""
    decoder: DecoderName = "pyav"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    storage: StorageConfig = field(default_factory=StorageConfig)

    @classmethod
    def of_run(
        cls, config: DataConfig, catalog: Catalog, task: TaskItems, label: str = "class"
    ) -> "TaskVideos":
        """Read as a run reads its corpus."""
        return cls(
            catalog=catalog,
            task=task,
            label=label,
            decoder=config.decoder,
            limits=config.limits,
            storage=config.storage,
        )

    def source(self, plan: Plan | Sweep, spec: ViewSpec) -> StreamSource:
        """What a stream of some of the videos is made from."""
        return StreamSource(
            catalog=self.catalog,
            plan=plan,
            specs=(spec,),
            decoder=self.decoder,
            limits=self.limits,
            storage=self.storage,
        )

    def train_labels(self) -> tuple[str, ...]:
        """Class of each train video, held out or not."""
        class_of = self.task.label_sets[self.label]
        return tuple(class_of[row] for row in self.task.train.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """Catalogue rows by what is done with them; no row is in two parts."""

    class_names: tuple[str, ...]
    """Those of the train videos, sorted; their places are the labels."""
    fit: RowNumbers
    """Trained on."""
    valid: RowNumbers
    """Train videos held out to choose on; none where nothing could be, or was to be, held out."""
    num_valid_groups: int
    test: RowNumbers
    label_of: Mapping[int, int] = field(repr=False)
    """Row -> place of its class."""

    def notes(self, held_out_fraction: float | None, what: str) -> tuple[str, ...]:
        """What a result must tell where videos were to be held out, and none could be.

        Args:
            held_out_fraction: share that was asked for.
            what: what was taken without a choice.
        """
        if held_out_fraction is None or len(self.valid):
            return ()
        return (f"no group of train videos could be spared to choose on: {what} is tested",)

    def labels(self, rows: RowNumbers) -> list[int]:
        """The label of each row."""
        return [self.label_of[row] for row in rows.tolist()]


def labelled_rows(
    task: TaskItems, label: str, *, validation_fraction: float | None, seed: int
) -> LabelledRows:
    """Part a task's train videos by whole groups, class by class (`hold_out`).

    The draw is that of the linear probe, so that all protocols choose on the same videos where they
    hold out the same share.

    Args:
        task: what trains and what tests.
        label: which of its label sets.
        validation_fraction: share of the train videos to hold out; None: none.
        seed: decides which.

    Raises:
        ConfigError: the task has no such labels, one class only, or a test class without train video.
    """
    if label not in task.label_sets:
        known = ", ".join(sorted(task.label_sets)) or "none"
        raise ConfigError(f"the task has no label set {label!r}; it has {known}")
    class_of = task.label_sets[label]
    train, test = task.train.tolist(), task.test.tolist()
    names = tuple(sorted({class_of[row] for row in train}))
    if len(names) < 2:
        raise ConfigError(
            f"a classifier needs at least 2 classes of train videos, found {len(names)}"
        )
    unknown = sorted({class_of[row] for row in test} - set(names))
    if unknown:
        raise ConfigError(
            f"{len(unknown)} test classes have no train video, {unknown[0]!r} for one: "
            "no classifier could name them"
        )
    groups = None if task.groups is None else [task.groups[row] for row in train]
    held = np.zeros(len(train), np.bool_)
    if validation_fraction is not None:
        strata = [class_of[row] for row in train]
        held = hold_out(strata, groups, validation_fraction, generator(seed, Draw.HOLD_OUT))
    place = {name: number for number, name in enumerate(names)}
    return LabelledRows(
        class_names=names,
        fit=task.train[~held],
        valid=task.train[held],
        num_valid_groups=num_held_groups(held, groups),
        test=task.test,
        label_of={row: place[class_of[row]] for row in (*train, *test)},
    )


def training_plan(rows: LabelledRows, batch_size: int, draws_per_visit: int, seed: int) -> Plan:
    """The order in which videos are trained on.

    Raises:
        ConfigError: a batch has more clips than there are.
    """
    most = len(rows.fit) * draws_per_visit
    if batch_size > most:
        raise ConfigError(
            f"batch_size is {batch_size}, but there are {most} clips of train videos to an epoch; "
            f"set it to {most} at most"
        )
    return Plan(seed=seed, rows=rows.fit, global_batch=batch_size, draws_per_visit=draws_per_visit)


def data_facts(data: TaskVideos, rows: LabelledRows) -> DataFacts:
    """Which videos were used for what: the digest is of their keys, parts and classes, in order."""
    digest = hashlib.sha256()
    for part, chosen in (("fit", rows.fit), ("valid", rows.valid), ("test", rows.test)):
        for row, label in zip(chosen.tolist(), rows.labels(chosen), strict=True):
            name = rows.class_names[label]
            digest.update(f"{part}\0{data.catalog[row].key}\0{name}\n".encode())
    fold = data.task.fold
    return DataFacts(
        name=data.task.own_name or data.task.task,
        digest=digest.hexdigest(),
        num_train=len(rows.fit),
        num_valid=len(rows.valid),
        num_test=len(rows.test),
        part="" if fold is None else f"split {fold}",
        other_lists=bool(data.task.own_name),
    )


def read_digest(data: TaskVideos, rows: LabelledRows, plan: Plan) -> str:
    """Hex SHA-256 of what a training reads: the catalogue, the rows in training, and every label."""
    digest = hashlib.sha256(data.catalog.digest.encode())
    digest.update(data_facts(data, rows).digest.encode())
    digest.update(plan.rows.astype("<i8").tobytes())
    return digest.hexdigest()
