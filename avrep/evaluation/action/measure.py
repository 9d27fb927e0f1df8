"""Every protocol on frozen features, on every split of a data set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from avrep.evaluation.action.catalog import task_items
from avrep.evaluation.action.data import ActionData
from avrep.evaluation.action.embed_videos import VideoFeatures, Videos, Views, embed_videos
from avrep.evaluation.action.few_shot import FewShotConfig, score_few_shot
from avrep.evaluation.action.lists import counted, refuse
from avrep.evaluation.action.near_duplicates import hash_videos, near_duplicates, write_pairs
from avrep.evaluation.action.results import Scored, Setting, part_of
from avrep.evaluation.action.robustness import Disturbance, RobustnessConfig
from avrep.evaluation.action.video_encoder import VideoEncoder
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.features_table import FeatureTable, joined_tables
from avrep.evaluation.holdout import hold_out
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.scores import VideoScores
from avrep.evaluation.tasks import TaskItems
from avrep.frozen import FrozenConfig
from avrep.types import Failure, RowNumbers

Tell = Callable[[str, int, int], None]
"""Called with (what is done, how much of it is done, how much there is)."""
LABEL = "class"
_SHOWN = 10


class ActionTaskConfig(FrozenConfig):
    """What is measured, and on which clips."""

    num_clips: int = Field(default=10, ge=1, le=1000)
    """Evenly spaced clips of each video, train and test alike."""
    num_crops: Literal[1, 3] = 3
    """Square crops of each clip: the centre, or both ends and the middle of the longer side."""
    protocols: ProtocolConfig = ProtocolConfig()
    few_shot: FewShotConfig = FewShotConfig()
    robustness: RobustnessConfig = RobustnessConfig()
    check_duplicates: bool = True
    """Look for videos that are on both sides under two names; it reads every video once more."""
    allow_missing: bool = False
    """Leave out videos that are missing or cannot be decoded; every result then says so."""
    batch_size: int = Field(default=8, ge=1)
    """Videos decoded together."""
    seed: int = Field(default=0, ge=0)
    """Of every draw: held-out videos, resamples, few labels, frame orders."""

    @model_validator(mode="after")
    def _of_videos(self) -> Self:
        if "instance" in self.protocols.protocols:
            raise ValueError("protocols: instance tells clips apart, not actions; leave it out")
        return self


class MeasuredSplits:
    """The features of a data set's videos, and what they score on its splits."""

    def __init__(
        self,
        encoder: VideoEncoder,
        videos: Videos,
        splits: Sequence[ActionData],
        config: ActionTaskConfig,
        tell: Tell | None,
    ) -> None:
        self._encoder = encoder
        self._videos = videos
        self._config = config
        self._tell = tell
        self._splits = list(splits)
        self._tasks = [task_items(data, videos.catalog) for data in splits]
        every = _union(side for task in self._tasks for side in (task.train, task.test))
        self._clean = self._embed(every, None)
        self._leave_out(self._clean.failures)
        test = _union(task.test for task in self._tasks)
        self._disturbed: dict[Disturbance, VideoFeatures] = {
            disturbance: self._embed(test, disturbance)
            for disturbance in config.robustness.disturbances
        }
        self._duplicates = (
            self._near_duplicates() if config.check_duplicates else [()] * len(splits)
        )

    def split(self, number: int) -> list[Scored]:
        """Every protocol on one split."""
        data, items = self._splits[number], self._tasks[number]
        train, test = (_table(items, self._clean, rows) for rows in (items.train, items.test))
        shown = [_table(items, features, items.test) for features in self._disturbed.values()]
        clean, *others = self._scores(train, [test, *shown])
        notes = (*self._told(data), *self._duplicates[number])
        found = [self._scored(data, train, each, each[0].protocol, notes) for each in clean]
        found += [
            self._few(data, train, test, num_labels, notes)
            for num_labels in self._config.few_shot.num_labels
        ]
        for (disturbance, features), table, scores in zip(
            self._disturbed.items(), shown, others, strict=True
        ):
            before = clean if table.keys == test.keys else self._clean_scores(train, test, table)
            told = (*notes, *_failed(features.failures))
            for each, own in zip(scores, before, strict=True):
                name = f"{each[0].protocol}-{disturbance}"
                scored = self._scored(data, train, each, name, told)
                settings = {**scored.settings, **self._disturbance(disturbance)}
                found.append(replace(scored, clean=own, settings=settings))
        return found

    def _scores(
        self, train: FeatureTable, tests: Sequence[FeatureTable]
    ) -> list[tuple[tuple[VideoScores, ...], ...]]:
        """Per table of the same test videos, per protocol, its metrics.

        Each probe is fitted once, and asked of all tables together; one that lacks videos is asked
        apart, as chance and weights are of the videos asked.
        """
        same = [table for table in tests if table.keys == tests[0].keys]
        asked = iter(self._asked(train, same))
        return [
            next(asked) if table.keys == tests[0].keys else self._asked(train, [table])[0]
            for table in tests
        ]

    def _asked(
        self, train: FeatureTable, tests: Sequence[FeatureTable]
    ) -> list[tuple[tuple[VideoScores, ...], ...]]:
        scores = score_features(
            train,
            joined_tables(tests),
            LABEL,
            config=self._config.protocols,
            seed=self._config.seed,
        )
        names = dict.fromkeys(score.protocol for score in scores)
        size = len(tests[0].keys)
        return [
            tuple(
                tuple(
                    part_of(score, slice(number * size, (number + 1) * size), table)
                    for score in scores
                    if score.protocol == name
                )
                for name in names
            )
            for number, table in enumerate(tests)
        ]

    def _clean_scores(
        self, train: FeatureTable, test: FeatureTable, shown: FeatureTable
    ) -> tuple[tuple[VideoScores, ...], ...]:
        """On clean clips of the videos that are left when they are disturbed."""
        place = {key: row for row, key in enumerate(test.keys)}
        rows = np.array([place[key] for key in shown.keys], np.int64)
        return self._asked(train, [test.part(rows)])[0]

    def _scored(
        self,
        data: ActionData,
        train: FeatureTable,
        scores: tuple[VideoScores, ...],
        name: str,
        notes: tuple[str, ...],
    ) -> Scored:
        num_valid = self._num_held(train) if scores[0].protocol == "linear" else 0
        return Scored(
            protocol=name,
            draws=(scores,),
            data=replace(data.facts(num_valid), num_test=len(scores[0].keys)),
            settings={**self._settings(), "how": scores[0].note},
            notes=notes,
        )

    def _few(
        self,
        data: ActionData,
        train: FeatureTable,
        test: FeatureTable,
        num_labels: int,
        notes: tuple[str, ...],
    ) -> Scored:
        few, seed = self._config.few_shot, self._config.seed
        draws = score_few_shot(train, test, LABEL, num_labels, config=few, seed=seed)
        counts = np.unique(train.label_set(LABEL), return_counts=True)[1]
        used = int(np.minimum(counts, num_labels).sum())
        return Scored(
            protocol=f"few-shot-{num_labels}",
            draws=draws,
            data=replace(data.facts(0), num_train=used),
            settings={
                **self._settings(),
                "num_labels": num_labels,
                "num_draws": few.num_draws,
                "l2": few.l2,
            },
            notes=notes,
        )

    def _num_held(self, train: FeatureTable) -> int:
        """Train videos that the probe's regularisation is chosen on: the probe's own draw."""
        fraction = self._config.protocols.linear.validation_fraction
        draw = generator(self._config.seed, Draw.HOLD_OUT)
        return int(hold_out(train.label_set(LABEL), train.groups, fraction, draw).sum())

    def _embed(self, rows: RowNumbers, disturbance: Disturbance | None) -> VideoFeatures:
        views = Views(
            num_clips=self._config.num_clips,
            num_crops=self._config.num_crops,
            disturbance=disturbance,
            crf=self._config.robustness.crf,
            seed=self._config.seed,
        )
        what = f"embedding, {disturbance}" if disturbance else "embedding"
        found = embed_videos(
            self._encoder, self._videos, rows, views, progress=said(self._tell, what)
        )
        if not self._config.allow_missing:
            refuse(
                _reasons(found.failures),
                f"of {len(rows)} videos cannot be decoded",
                "fetch them again, or leave them out by --set allow_missing=true",
                shown=_SHOWN,
            )
        return found

    def _leave_out(self, failures: Sequence[Failure]) -> None:
        """Videos that cannot be decoded are no part of any split."""
        gone = [failure.key for failure in failures]
        for number, data in enumerate(self._splits):
            if {video.path for video in (*data.split.train, *data.split.test)} & set(gone):
                self._splits[number] = data.without(gone, _failed(failures)[0])
                self._tasks[number] = task_items(self._splits[number], self._videos.catalog)

    def _near_duplicates(self) -> list[tuple[str, ...]]:
        """A note for each split, and a file of the pairs."""
        rows = _union(side for task in self._tasks for side in (task.train, task.test))
        hashes = hash_videos(self._videos, rows, said(self._tell, "looking for near duplicates"))
        place = {row: number for number, row in enumerate(hashes.rows.tolist())}
        notes = []
        for data, items in zip(self._splits, self._tasks, strict=True):
            chosen = [
                [place[row] for row in side.tolist() if row in place]
                for side in (items.train, items.test)
            ]
            keys = [[hashes.keys[number] for number in side] for side in chosen]
            train, test = (hashes.vectors[side] for side in chosen)
            pairs = near_duplicates(keys[0], train, keys[1], test)
            name = f"{data.task}-split{data.fold}.csv"
            write_pairs(self._videos.work / "near-duplicates" / name, pairs)
            num_asked = len({pair.test for pair in pairs})
            which = f"split {data.fold}: " if data.num_folds > 1 else ""
            where = f", listed in near-duplicates/{name}" if pairs else ""
            notes.append(
                (
                    f"{which}{num_asked} of {len(keys[1])} test videos have a near duplicate in "
                    f"train{where}",
                )
            )
        return notes

    def _told(self, data: ActionData) -> tuple[str, ...]:
        if any(video.group for video in (*data.split.train, *data.split.test)):
            return data.notes
        return (*data.notes, "names tell of no groups: both sides may share recordings")

    def _settings(self) -> dict[str, Setting]:
        encoder, config = self._encoder, self._config
        settings: dict[str, Setting] = {
            "num_clips": config.num_clips,
            "num_crops": config.num_crops,
            "num_frames": encoder.clip.num_frames,
            "stride": encoder.clip.stride,
            "short_side_px": encoder.crops.short_side_px,
            "crop_px": encoder.crops.crop_px,
            "views": "features averaged over clips and crops",
            "seed": config.seed,
        }
        if encoder.clip.fps is not None:
            settings["fps"] = encoder.clip.fps
        return settings

    def _disturbance(self, disturbance: Disturbance) -> Mapping[str, Setting]:
        if disturbance == "recompressed":
            return {"disturbance": disturbance, "crf": self._config.robustness.crf}
        return {"disturbance": disturbance}


def _table(items: TaskItems, features: VideoFeatures, rows: RowNumbers) -> FeatureTable:
    """The features of those rows that have some, in the order of the rows."""
    place = {row: number for number, row in enumerate(features.rows.tolist())}
    kept = [row for row in rows.tolist() if row in place]
    places = [place[row] for row in kept]
    return items.table(kept, [features.keys[each] for each in places], features.vectors[places])


def _union(parts: Iterable[RowNumbers]) -> RowNumbers:
    return np.unique(np.concatenate(list(parts)))


def _failed(failures: Sequence[Failure]) -> tuple[str, ...]:
    """A note of the videos that cannot be decoded, if any."""
    what = "videos cannot be decoded and were left out, as allowed"
    return (counted(_reasons(failures), what),) if failures else ()


def _reasons(failures: Sequence[Failure]) -> list[str]:
    return [f"{failure.key} ({failure.reason})" for failure in failures]


def said(tell: Tell | None, what: str) -> Callable[[int, int], None] | None:
    return None if tell is None else lambda done, in_all: tell(what, done, in_all)
