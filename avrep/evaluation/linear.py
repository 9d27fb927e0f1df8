"""Linear probe: multinomial logistic regression on frozen features, tuned on train videos alone."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveFloat
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from avrep.errors import ConfigError
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.features_table import Vectors
from avrep.evaluation.holdout import hold_out, num_held_groups
from avrep.evaluation.neighbours import l2_normalise
from avrep.frozen import FrozenConfig

Strings = npt.NDArray[np.str_]

_SMALL_SIZE = 1_000_000


class LinearProbeConfig(FrozenConfig):
    scaling: Literal["standardise", "l2"] = "standardise"
    """"standardise": each dimension to mean 0 and deviation 1, as measured on the rows fitted, so
    that an encoder whose features vary little (an untrained one) is judged by what they tell, not
    by their scale (avrep default; a batch norm before the layer, as CoCLR has, does the same).
    "l2": each row to length 1, as CVRL."""
    l2_grid: tuple[PositiveFloat, ...] = Field(
        default=(100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5), min_length=1
    )
    """Regularisations to choose from: mean cross-entropy + l2 / 2 * the weights' squared length."""
    default_l2: PositiveFloat = 0.1
    """Taken when no group of train videos can be spared to choose on."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the train videos, by whole groups, held out to choose on."""
    max_iterations: int = Field(default=1000, ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProbe:
    """A probe's predictions and how its regularisation was chosen."""

    predictions: Strings
    l2: float
    validation_accuracy: tuple[float, ...]
    """Per value of the grid; empty when nothing could be held out and the default was taken."""
    num_validation: int
    """Train videos that the choice was made on."""
    num_validation_groups: int
    converged: bool

    def note(self) -> str:
        how = (
            f"chosen on {self.num_validation} train videos of {self.num_validation_groups} groups"
            if self.validation_accuracy
            else "the default, as no group of train videos could be spared to choose on"
        )
        return f"l2 {self.l2:g}, {how}" + ("" if self.converged else "; fit not converged")


def linear_probe(
    train: Vectors,
    train_labels: Sequence[str],
    groups: Sequence[str | None] | None,
    test: Vectors,
    *,
    config: LinearProbeConfig,
    seed: int,
) -> LinearProbe:
    """Choose the regularisation on held-out train videos, refit on all of them, predict the test.

    Test labels are no argument, so they cannot be chosen on. The choice is the best validation
    accuracy; of equals, the lower cross-entropy, then the stronger regularisation. Groups are
    held out whole (see `hold_out`); without groups, rows are, stratified by class. When no group
    can be spared, because each holds some class's only videos, `config.default_l2` is taken and
    the result says so.

    Args:
        train: float32[n d].
        train_labels: n class names, two different ones or more.
        groups: group of each train row, or None.
        test: float32[q d].
        config: scaling, grid, share to hold out.
        seed: decides which groups are held out; the same for each encoder compared.
    """
    labels = np.asarray(train_labels, dtype=np.str_)
    if len(np.unique(labels)) < 2:
        raise ConfigError("a linear probe needs at least 2 classes of train videos, found 1")
    # Waking threads for products this small costs many times what they save.
    with threadpool_limits(1 if train.size < _SMALL_SIZE else None):
        return _probe(train, labels, groups, test, config, seed)


def _probe(
    train: Vectors,
    labels: Strings,
    groups: Sequence[str | None] | None,
    test: Vectors,
    config: LinearProbeConfig,
    seed: int,
) -> LinearProbe:
    held = hold_out(
        labels.tolist(), groups, config.validation_fraction, generator(seed, Draw.HOLD_OUT)
    )
    l2, accuracies = config.default_l2, ()
    if held.any():
        l2, accuracies = _choose(train[~held], labels[~held], train[held], labels[held], config)
    fitted, tested = _scale(train, test, config)
    model = _fit(fitted, labels, l2, config)
    return LinearProbe(
        predictions=np.asarray(model.predict(tested), dtype=np.str_),
        l2=l2,
        validation_accuracy=accuracies,
        num_validation=int(held.sum()),
        num_validation_groups=num_held_groups(held, groups),
        converged=int(model.n_iter_.max()) < config.max_iterations,
    )


def _choose(
    fit: Vectors,
    fit_labels: Strings,
    held: Vectors,
    held_labels: Strings,
    config: LinearProbeConfig,
) -> tuple[float, tuple[float, ...]]:
    """The regularisation of the grid that does best on the held-out rows, and all accuracies."""
    scaled, scaled_held = _scale(fit, held, config)
    ranked = []
    for l2 in config.l2_grid:
        model = _fit(scaled, fit_labels, l2, config)
        accuracy = float(np.mean(model.predict(scaled_held) == held_labels))
        log_p = _log_probabilities(model, scaled_held)
        right = log_p[np.arange(len(held_labels)), np.searchsorted(model.classes_, held_labels)]
        ranked.append((accuracy, float(right.mean()), l2))
    return max(ranked)[2], tuple(accuracy for accuracy, _, _ in ranked)


def _fit(
    features: npt.NDArray[np.float64], labels: Strings, l2: float, config: LinearProbeConfig
) -> LogisticRegression:
    # scikit-learn weighs the sum of the losses by C; the mean's weight follows.
    model = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=config.max_iterations)
    with warnings.catch_warnings():
        # Told in the result instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _log_probabilities(
    model: LogisticRegression, features: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Of each class, without passing through probabilities, whose smallest round to 0."""
    scores = model.decision_function(features)
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros_like(scores), scores])
    return log_softmax(scores, axis=1)


def _scale(
    fit: Vectors, other: Vectors, config: LinearProbeConfig
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both sets scaled by what the first one tells."""
    if config.scaling == "l2":
        return l2_normalise(fit).astype(np.float64), l2_normalise(other).astype(np.float64)
    mean = fit.mean(axis=0, dtype=np.float64)
    deviation = fit.std(axis=0, dtype=np.float64)
    # What varies by no more than float32's rounding is constant: blowing it up shows noise.
    varies = deviation > 1e-6 * np.abs(mean)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    return (fit - mean) * scale, (other - mean) * scale
