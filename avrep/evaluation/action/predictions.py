"""What a classifier said of each test video, and what that scores."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrep.evaluation.accuracy import TOP_FEW, accuracies, top_few
from avrep.evaluation.features_table import FeatureTable, Vectors
from avrep.evaluation.scores import Protocol, VideoScores
from avrep.types import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPredictions:
    """The probability of every class, for each of the test videos."""

    protocol: Protocol
    label: str
    """The label set that was asked for."""
    class_names: tuple[str, ...]
    """Of the probabilities' columns."""
    videos: FeatureTable
    """Keys, labels and groups of the test videos; its features are the probabilities, float32[n c]."""
    train_labels: tuple[str, ...]
    """Class of each video that could be trained on; chance is what they alone tell."""
    num_valid: int
    """Train videos that something was chosen on, and nothing trained."""
    failures: tuple[Failure, ...] = ()
    """Test videos that could not be decoded; they have no row."""
    settings: dict[str, str | int | float | bool]
    """What decided them, what was chosen on held-out train videos included."""
    notes: tuple[str, ...] = ()
    """What differs from the published protocol."""

    @property
    def probabilities(self) -> Vectors:
        """float32[n c]"""
        return self.videos.features

    @property
    def predicted(self) -> npt.NDArray[np.str_]:
        """The likeliest class of each video; of equals the first."""
        return np.asarray(self.class_names, np.str_)[self.probabilities.argmax(axis=1)]

    def scores(self) -> tuple[VideoScores, ...]:
        """top1, mean_class and, of more than five classes, top5."""
        note = self._failure_note()
        common = self.protocol, self.train_labels, self.videos, self.label
        scores = accuracies(*common, self.predicted, note)
        if len(self.class_names) <= TOP_FEW:
            return scores
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        ranked = np.asarray(self.class_names, np.str_)[order]
        return (*scores, top_few(*common, ranked, note))

    def _failure_note(self) -> str:
        if not self.failures:
            return ""
        first = self.failures[0]
        return f"{len(self.failures)} items could not be decoded, {first.key} ({first.reason})"
