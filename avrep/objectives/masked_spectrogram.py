"""What AudioMAE and SSAST share: the clips they want, their patches, and which of them are hidden.

Only patches wholly inside a clip's own sound are hidden, predicted and attended to: the silence that
fills a batch's shorter sounds is no part of the task, and a clip's loss does not depend on it.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.losses.joined_mean import joined_mean
from avrep.models.features import Encoder
from avrep.models.log_mel import RATE_HZ
from avrep.models.masks import Mask, num_seen, stacked_unequal
from avrep.models.positions import Grid
from avrep.models.spectrogram_vit import Patches, SpectrogramVit
from avrep.objectives.base import BatchTensors, Objective
from avrep.objectives.masked_sound import Lane, generator_of, sound_of
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Address, Geometry


class MaskedSpectrogram(Objective):
    """One sound of each item, parts of its spectrogram hidden, a function of (seed, address).

    Args:
        method: its kind, for errors.
        encoder: the encoder of spectrograms to train.
        sampler: which clips.
        mask_ratio: share of a clip's patches that is hidden.
        seed: the run's seed.

    Raises:
        ConfigError: the shortest clip has too few patches to hide some and show some, or the longest
            is longer than the encoder's learned positions.
    """

    def __init__(
        self,
        method: str,
        encoder: SpectrogramVit,
        sampler: SoundConfig,
        mask_ratio: float,
        seed: int,
    ) -> None:
        super().__init__()
        _check_lengths(method, encoder, sampler, mask_ratio)
        self.encoder = encoder
        self.seed = seed
        self._sampler = sampler
        self._mask_ratio = mask_ratio

    @abstractmethod
    def draw_mask(self, grid: Grid, draws: np.random.Generator) -> Mask:
        """A clip's mask, over a grid of its own (time, frequency, 1)."""

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(sampler=self._sampler, geometry=Geometry(rate_hz=RATE_HZ)),)

    def augments(self) -> tuple[None, ...]:
        return (None,)

    def encoders(self) -> dict[str, Encoder]:
        return {"audio": self.encoder}

    def _draw_masks(self, patches: Patches, addresses: Sequence[Address]) -> tuple[Tensor, Tensor]:
        """Kept and masked places of all clips, int64[b k] and int64[b m] on the host, -1 at short rows'
        ends.
        """
        bands = patches.grid[1]
        masks = [
            self.draw_mask((places // bands, bands, 1), generator_of(self.seed, address, Lane.MASK))
            for places, address in zip(patches.num_places.tolist(), addresses, strict=True)
        ]
        return stacked_unequal(masks)

    def _joined_means(
        self, rows: Mapping[str, Tensor], valid: Tensor, batch: BatchTensors
    ) -> dict[str, Tensor]:
        """Each float32[b m]'s mean over the valid, hidden places of the joined batch, as `joined_mean`
        has it.
        """
        sums = torch.stack([row.where(valid, 0).sum() for row in rows.values()])
        count = valid.sum() if batch.share is None else self._num_masked(batch.share)
        means = joined_mean(sums, count.expand(len(sums)), batch.num_micro_batches)
        return dict(zip(rows, means, strict=True))

    def _num_masked(self, batch: BatchTensors) -> Tensor:
        """int64[]: hidden places of all clips; whatever the mask, a share of each clip's."""
        audio, num_samples = sound_of(batch, type(self).__name__)
        lengths = [audio.shape[1]] * len(audio) if num_samples is None else num_samples.tolist()
        places = [self.encoder.config.num_places(length) for length in lengths]
        hidden = sum(num - num_seen(num, self._mask_ratio) for num in places)
        return torch.tensor(hidden)


def _check_lengths(
    method: str, encoder: SpectrogramVit, sampler: SoundConfig, mask_ratio: float
) -> None:
    config = encoder.config
    num_places = config.num_places(int(sampler.min_s * RATE_HZ))
    if num_seen(num_places, mask_ratio) in (0, num_places):
        raise ConfigError(
            f"{method} hides {mask_ratio:g} of a clip's patches and needs to show some, but a clip "
            f"of sampler.min_s {sampler.min_s:g} s has {num_places}; raise objective.sampler.min_s"
        )
    longest = config.num_places(round(sampler.duration_s * RATE_HZ)) // config.num_bands
    if config.positions == "learned" and longest > config.grid[0]:
        raise ConfigError(
            f"{method} gives clips of up to {sampler.duration_s:g} s, but the encoder's learned "
            f"positions end after {config.spectrogram.num_frames / 100:g} s; lower "
            f"objective.sampler.duration_s or raise audio_encoder.spectrogram.num_frames"
        )
