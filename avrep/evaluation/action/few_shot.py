"""Few labels: a linear probe fitted on one, five or ten train videos of each class."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.linear import LinearProbeConfig
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.scores import VideoScores
from avrep.frozen import FrozenConfig
from avrep.types import Address, RowNumbers


class FewShotConfig(FrozenConfig):
    num_labels: tuple[PositiveInt, ...] = ()
    """Train videos of each class that have a label; the field's usual figures are 1, 5 and 10."""
    num_draws: int = Field(default=10, ge=2)
    """How many times they are drawn; the result is the mean over draws."""
    l2: PositiveFloat = 0.1
    """The probe's regularisation. It is fixed: with so few labels there are none to choose it on."""


def draw_few(labels: Sequence[str], num_labels: int, seed: int, draw: int) -> RowNumbers:
    """Rows of some videos of each class, ascending; all of a class that has no more.

    Fewer labels of a draw are among its more: 1 of them is one of the 5.

    Args:
        labels: class of each row.
        num_labels: rows of each class.
        seed: of the evaluation.
        draw: number of the draw.
    """
    names = np.asarray(labels, dtype=np.str_)
    chosen = []
    for number, name in enumerate(np.unique(names)):
        rows = np.flatnonzero(names == name)
        rng = generator(seed, Draw.FEW_SHOT, Address(draw, number))
        chosen.append(rng.permutation(rows)[:num_labels])
    return np.sort(np.concatenate(chosen))


def score_few_shot(
    train: FeatureTable,
    test: FeatureTable,
    label: str,
    num_labels: int,
    *,
    config: FewShotConfig,
    seed: int,
) -> tuple[tuple[VideoScores, ...], ...]:
    """Scores of every test video, for each draw: see `score_features`."""
    linear = LinearProbeConfig(l2_grid=(config.l2,), default_l2=config.l2)
    protocols = ProtocolConfig(protocols=("linear",), linear=linear)
    labels = train.label_set(label)
    return tuple(
        score_features(
            train.part(draw_few(labels, num_labels, seed, draw)),
            test,
            label,
            config=protocols,
            seed=seed,
        )
        for draw in range(config.num_draws)
    )
