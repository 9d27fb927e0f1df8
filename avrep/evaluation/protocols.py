"""The protocols put together: one encoder's features in, a score for every test video out."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt

from avrep.errors import ConfigError
from avrep.evaluation.accuracy import accuracies
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.knn import KnnConfig, knn_predict
from avrep.evaluation.linear import LinearProbeConfig, linear_probe
from avrep.evaluation.retrieval import class_retrieval, class_retrieval_chance, instance_retrieval
from avrep.evaluation.scores import FeatureProtocol, Protocol, VideoScores
from avrep.frozen import FrozenConfig

Floats = npt.NDArray[np.float64]
Depths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class ProtocolConfig(FrozenConfig):
    protocols: tuple[FeatureProtocol, ...] = ("linear", "knn", "retrieval")
    """"instance" needs features of 2 clips or more of each video."""
    linear: LinearProbeConfig = LinearProbeConfig()
    knn: KnnConfig = KnnConfig()
    retrieval_ks: Depths = (1, 5, 10, 20, 50)
    """Depths of class retrieval; those deeper than the gallery are left out, and a note says so."""
    centre: bool = False
    """Subtract the train videos' mean feature before class retrieval."""
    instance_ks: Depths = (1, 5)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of every interval."""
    num_resamples: int = Field(default=2000, ge=100)
    """Of every bootstrap."""


def score_features(
    train: FeatureTable, test: FeatureTable, label: str, *, config: ProtocolConfig, seed: int
) -> tuple[VideoScores, ...]:
    """Score one encoder on every test video, by each protocol asked for.

    Nothing is chosen on the test videos: the probe is tuned on a slice of the train videos; kNN
    and retrieval have fixed settings. "top1" weighs each video, "mean_class" each class, the same.

    Args:
        train: what probes fit, neighbours come from, and retrieval searches.
        test: what is asked; untouched until then.
        label: which label set.
        config: protocols and their settings.
        seed: decides which train videos the probe is tuned on.

    Raises:
        ConfigError: tables of different widths, a video in both, or a test class without a train
            video.
    """
    _check(train, test, label)
    scores: list[VideoScores] = []
    for protocol in config.protocols:
        if protocol == "linear":
            scores.extend(_linear(train, test, label, config.linear, seed))
        elif protocol == "knn":
            scores.extend(_knn(train, test, label, config.knn))
        elif protocol == "retrieval":
            scores.extend(_retrieval(train, test, label, config))
        else:
            scores.extend(score_instances(test, config=config))
    return tuple(scores)


def _check(train: FeatureTable, test: FeatureTable, label: str) -> None:
    widths = train.features.shape[-1], test.features.shape[-1]
    if widths[0] != widths[1]:
        raise ConfigError(f"train features have width {widths[0]}, test features {widths[1]}")
    both = sorted(set(train.keys) & set(test.keys))
    if both:
        raise ConfigError(f"{len(both)} videos are in train and in test, {both[0]!r} for one")
    unknown = sorted(set(test.label_set(label)) - set(train.label_set(label)))
    if unknown:
        raise ConfigError(
            f"{len(unknown)} test classes have no train video, {unknown[0]!r} for one: "
            "no probe could name them"
        )


def _linear(
    train: FeatureTable, test: FeatureTable, label: str, config: LinearProbeConfig, seed: int
) -> tuple[VideoScores, ...]:
    probe = linear_probe(
        train.vectors(),
        train.label_set(label),
        train.groups,
        test.vectors(),
        config=config,
        seed=seed,
    )
    return accuracies(
        "linear", train.label_set(label), test, label, probe.predictions, probe.note()
    )


def _knn(
    train: FeatureTable, test: FeatureTable, label: str, config: KnnConfig
) -> tuple[VideoScores, ...]:
    predictions = knn_predict(train.vectors(), train.label_set(label), test.vectors(), config)
    note = f"k {min(config.k, len(train.keys))}, temperature {config.temperature:g}"
    return accuracies("knn", train.label_set(label), test, label, predictions, note)


def _retrieval(
    train: FeatureTable, test: FeatureTable, label: str, config: ProtocolConfig
) -> tuple[VideoScores, ...]:
    labels, gallery_labels = test.label_set(label), train.label_set(label)
    ks = [k for k in config.retrieval_ks if k <= len(train.keys)]
    left_out = [k for k in config.retrieval_ks if k > len(train.keys)]
    if not ks:
        raise ConfigError(f"retrieval_ks {left_out} are deeper than the {len(train.keys)} videos")
    hits = class_retrieval(
        test.vectors(), labels, train.vectors(), gallery_labels, ks, centre=config.centre
    )
    note = f"gallery of {len(train.keys)}" + (", centred" if config.centre else "")
    if left_out:
        note += ", too small for " + ", ".join(f"R@{k}" for k in left_out)
    return tuple(
        _ranked("retrieval", label, f"R@{k}", test, hits[k], chance, note)
        for k, chance in ((k, class_retrieval_chance(labels, gallery_labels, k)) for k in ks)
    )


def score_instances(test: FeatureTable, *, config: ProtocolConfig) -> tuple[VideoScores, ...]:
    """Score one encoder at finding the other clip of the same video; no labels are needed.

    Args:
        test: features of 2 clips or more of each video.
        config: depths; those beyond the number of videos are left out.

    Raises:
        ConfigError: one clip of each video.
    """
    size = len(test.keys)
    ks = [k for k in config.instance_ks if k <= size]
    hits = instance_retrieval(test.features, ks)
    chances = {f"R@{k}": k / size for k in ks}
    chances["MRR"] = float((1 / np.arange(1, size + 1)).mean())
    note = f"last clip among the first clips of {size} videos"
    return tuple(
        _ranked("instance", "item", metric, test, values, chances[metric], note)
        for metric, values in hits.items()
    )


def _ranked(
    protocol: Protocol,
    label: str,
    metric: str,
    test: FeatureTable,
    values: Floats,
    chance: float,
    note: str,
) -> VideoScores:
    return VideoScores(
        protocol=protocol,
        label=label,
        metric=metric,
        keys=test.keys,
        values=values,
        weights=None,
        clusters=test.clusters(),
        chance=chance,
        note=note,
    )
