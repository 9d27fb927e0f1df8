"""The features of a set of videos, with what is known of each video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError
from avrep.evaluation.action.split import GroupScope
from avrep.types import RowNumbers

Vectors = Annotated[npt.NDArray[np.float32], "n d"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """Frozen features of n videos. Row i of every field is the same video."""

    keys: tuple[str, ...]
    features: Annotated[npt.NDArray[np.float32], "n v d"] | Vectors
    """Pooled features of v clips of each video, or one vector a video."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per label set ("class", "motion"): each video's class name."""
    groups: tuple[str | None, ...] | None = None
    """What videos of one recording share; None where a video, or the whole set, has no such name."""
    group_scope: GroupScope = "class"
    """Whether a group's name means one source within a class, or across classes."""

    def __post_init__(self) -> None:
        if self.features.ndim not in (2, 3) or self.features.dtype != np.float32:
            form = f"{self.features.dtype}{list(self.features.shape)}"
            raise ValueError(f"features must be float32[n d] or float32[n v d], got {form}")
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("keys must be unique: a video has one row")
        sizes = {"keys": len(self.keys), **{k: len(v) for k, v in self.labels.items()}}
        if self.groups is not None:
            sizes["groups"] = len(self.groups)
        wrong = {name: size for name, size in sizes.items() if size != len(self.features)}
        if wrong or not self.keys:
            raise ValueError(f"{len(self.features)} rows of features (want 1 or more), but {wrong}")
        finite = np.isfinite(self.features.reshape(len(self.keys), -1)).all(axis=1)
        bad = np.flatnonzero(~finite)
        if bad.size:
            raise ConfigError(
                f"{bad.size} of {len(self.keys)} videos have features that are not finite, "
                f"{self.keys[bad[0]]!r} for one: the encoder has diverged"
            )

    def vectors(self) -> Vectors:
        """One vector a video, float32[n d]: the plain mean over its clips.

        Clips are not l2-normalised before the mean, as VCOP and RSPNet average pooled features
        over clips; l2 comes after, in the protocols that compare by cosine. (CVRL normalises each
        view and averages classifier outputs instead, which needs a classifier per view.)
        """
        if self.features.ndim == 2:
            return self.features
        return self.features.mean(axis=1, dtype=np.float64).astype(np.float32)

    def part(self, rows: RowNumbers) -> "FeatureTable":
        """The table of some of its rows."""
        return FeatureTable(
            keys=tuple(self.keys[row] for row in rows),
            features=self.features[rows],
            labels={name: tuple(each[row] for row in rows) for name, each in self.labels.items()},
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            group_scope=self.group_scope,
        )

    def label_set(self, label: str) -> tuple[str, ...]:
        """Each video's class in one label set; ConfigError when there is no such set."""
        if label not in self.labels:
            known = ", ".join(sorted(self.labels)) or "none"
            raise ConfigError(f"no label set {label!r}. Known: {known}")
        return self.labels[label]

    def clusters(self) -> tuple[str, ...]:
        """Names of what is independent of one another: each video's group, or the video itself.

        Under scope "class" a group's name counts within a class of the label set "class"; in a
        table without that set it counts across all videos, which can only widen an interval.
        """
        if self.groups is None:
            return self.keys
        within = self.labels.get("class", ()) if self.group_scope == "class" else ()
        prefixes = within or ("",) * len(self.keys)
        return tuple(
            f"video {key}" if group is None else f"group {prefix}/{group}"
            for key, group, prefix in zip(self.keys, self.groups, prefixes, strict=True)
        )

    def __repr__(self) -> str:
        return f"FeatureTable({list(self.features.shape)}, labels={sorted(self.labels)})"


def joined_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Several tables of videos as one, to be asked together; keys say which table they are of."""
    first = tables[0]
    groups = [table.groups or () for table in tables]
    return FeatureTable(
        keys=tuple(f"{number}/{key}" for number, table in enumerate(tables) for key in table.keys),
        features=np.concatenate([table.features for table in tables]),
        labels={
            name: tuple(value for table in tables for value in table.label_set(name))
            for name in first.labels
        },
        groups=None if first.groups is None else tuple(g for each in groups for g in each),
        group_scope=first.group_scope,
    )
