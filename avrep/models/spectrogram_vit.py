"""Vision transformers over patches of a log-mel spectrogram: a config, and the encoder."""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder, Features, check_sound
from avrep.models.log_mel import LogMelConfig, log_mel, num_frames, num_frames_each, samples_of
from avrep.models.masks import take_places
from avrep.models.positions import Grid, PositionKind
from avrep.models.seeded import seeded
from avrep.models.sound_positions import SoundPositions
from avrep.models.transformer import VIT_SIZES, Transformer, VitSize, start_linear
from avrep.transfer import to_device


class SpectrogramVitConfig(FrozenConfig):
    """Which transformer over spectrograms; the defaults are AudioMAE's ViT-B."""

    kind: Literal["spectrogram_vit"] = "spectrogram_vit"
    size: VitSize = "base"
    """As for a tubelet_vit: tiny to huge are the published sizes, micro is avrep's own for the CPU."""
    spectrogram: LogMelConfig = LogMelConfig()
    """Its `num_frames` is the length that it is trained on, a multiple of `patch_frames`."""
    patch_frames: int = Field(default=16, ge=1, le=1024)
    """Length of a patch in frames of 10 ms. SSAST's frame-wise network has 2."""
    patch_bins: int = Field(default=16, ge=1, le=512)
    """Height of a patch in bins of the spectrogram. SSAST's frame-wise network has all 128."""
    positions: PositionKind = "sinusoid"
    """sinusoid: AudioMAE's fixed table, which goes on past the length trained on. learned: AST's and
    SSAST's, a vector for each place, which ends there. A shorter sound has a table's first part."""
    num_class_tokens: int = Field(default=1, ge=0, le=2)
    """Learned tokens that stand before those of the patches and are not handed out. AudioMAE: 1; AST
    and SSAST: 2."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a clip skips a branch of the last block, for fine-tuning; 0 in pretraining."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        for name, own in (("num_frames", self.patch_frames), ("num_bins", self.patch_bins)):
            total = getattr(self.spectrogram, name)
            if total % own:
                patch = name.replace("num", "patch")
                raise ValueError(
                    f"spectrogram.{name} is {total}; it must be a multiple of {patch}, {own}"
                )
        return self

    @property
    def num_bands(self) -> int:
        """Patches from the lowest frequency to the highest."""
        return self.spectrogram.num_bins // self.patch_bins

    @property
    def grid(self) -> Grid:
        """Places along time and frequency, and 1, of the sounds that it is trained on."""
        return self.spectrogram.num_frames // self.patch_frames, self.num_bands, 1

    @property
    def min_samples(self) -> int:
        """Samples of the shortest sound that it takes: one patch long."""
        return samples_of(self.patch_frames)

    def num_places(self, num_samples: int) -> int:
        """Whole patches in a sound of that many samples."""
        return num_frames(num_samples) // self.patch_frames * self.num_bands


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """A batch of spectrograms, cut up. Places run over time slowest, then from low to high."""

    values: Tensor
    """float32[b n p]: a patch's values run over its frames, then over its bins."""
    num_places: Tensor
    """int64[b]: each clip's own places, its first; those after are padding. Where `num_samples` was."""
    grid: Grid
    """Places along time and frequency, and 1, of the longest clip."""

    @property
    def own(self) -> Tensor:
        """bool[b n]: which places are not padding."""
        places = torch.arange(self.values.shape[1], device=self.values.device)
        return places < to_device(self.num_places, places.device)[:, None]


class SpectrogramVit(Encoder):
    """A log-mel spectrogram is cut into patches, each becomes a token, and the tokens attend.

    The encoder of AudioMAE (arXiv 2207.06405) and, with learned positions and 2 class tokens, that
    of SSAST (2110.09784) and AST (2104.01778) where patches do not overlap. The clip's vector is the
    mean of its patches' tokens after the last norm.

    A clip's features do not depend on the clips that it is batched with: only patches wholly inside
    a clip are its tokens, and padding is not attended to. AST, SSAST and AudioMAE bring all sounds to
    one length first and let the padding be attended to; with sounds of that length it is the same.

    Objectives that mask need what happens in between:
    `contextualise(embed(patches.values), patches)`.

    Args:
        config: sizes.
    """

    def __init__(self, config: SpectrogramVitConfig) -> None:
        sizes = VIT_SIZES[config.size]
        super().__init__(sizes.width)
        self.config = config
        self.embed = nn.Linear(config.patch_frames * config.patch_bins, sizes.width)
        start_linear(self.embed)
        self.class_tokens = nn.Parameter(torch.empty(config.num_class_tokens, sizes.width))
        nn.init.normal_(self.class_tokens, std=0.02)
        self.positions = SoundPositions(config.positions, config.grid, sizes.width)
        self.transformer = Transformer(sizes, config.drop_path)

    @property
    def num_layers(self) -> int:
        return len(self.transformer.blocks)

    def forward(
        self,
        clips: Tensor,
        /,
        num_samples: Tensor | None = None,
        kept: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Features:
        """The features of whole sounds, or of what is kept of them.

        Tokens of padding say nothing.

        Args:
            clips: float[b s], mono at 16 kHz, in [-1, 1].
            num_samples: int64[b]: samples of each row that are the clip's own; None: all. On the
                host, and a GPU is not waited for.
            kept: as in `contextualise`.
            rng: for `drop_path` while training; on the clips' device.

        Raises:
            ValueError: the input has another form, or a clip is shorter than a patch, or longer
                than a learned table of positions.
        """
        patches = self.patches(clips, num_samples)
        tokens = self.contextualise(self.embed(patches.values), patches, kept=kept, rng=rng)[-1]
        own = (patches.own if kept is None else to_device(kept >= 0, tokens.device))[..., None]
        pooled = (tokens * own).sum(dim=1) / own.sum(dim=1)
        return Features(tokens=tokens, grid=patches.grid, kept=kept, pooled=pooled.to(tokens.dtype))

    def blocks(self) -> tuple[nn.Module, ...]:
        return tuple(self.transformer.blocks)

    def behind_blocks(self) -> tuple[nn.Module, ...]:
        return (self.transformer.norm,)

    def hidden_states(
        self, clips: Tensor, num_samples: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What probes weigh: float[b n d] of each layer, and int64[b] places of each clip.

        The first is what the blocks are given; the last is behind the last norm. Arguments and
        errors are those of `forward`.
        """
        patches = self.patches(clips, num_samples)
        return self.contextualise(self.embed(patches.values), patches), patches.num_places

    def patches(self, clips: Tensor, num_samples: Tensor | None = None) -> Patches:
        """The spectrograms of a batch of sounds, cut up; what is left over at the end is dropped.

        Arguments and errors are those of `forward`.
        """
        config = self.config
        check_sound(clips, num_samples, config.min_samples)
        if num_samples is None:
            num_samples = torch.full((clips.shape[0],), clips.shape[1])
        columns = num_frames(clips.shape[1]) // config.patch_frames
        length = {"num_frames": columns * config.patch_frames}
        image = log_mel(clips, config.spectrogram.model_copy(update=length), num_samples)
        parted = image.unflatten(1, (columns, -1)).unflatten(3, (config.num_bands, -1))
        own_columns = num_frames_each(num_samples) // config.patch_frames
        return Patches(
            values=parted.transpose(2, 3).flatten(3).flatten(1, 2),
            num_places=own_columns * config.num_bands,
            grid=(columns, config.num_bands, 1),
        )

    def contextualise(
        self,
        embedded: Tensor,
        patches: Patches,
        *,
        kept: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> tuple[Tensor, ...]:
        """The transformer's hidden states, without the class tokens.

        Args:
            embedded: float[b n d], `embed` of the patches' values, or what an objective puts there.
            patches: where they are.
            kept: int64[b k], each clip's distinct places; only their tokens go through the blocks,
                so hidden ones cost nothing. A clip with fewer than k has negative numbers in the
                others' stead, which are not attended to. None: all. On the host, and a GPU is not
                waited for.
            rng: for `drop_path` while training.

        Returns:
            float[b n d] or float[b k d], as many as layers and one more.

        Raises:
            ValueError: `kept` has another form, or the table of positions is too short.
        """
        tokens, valid = embedded + self.positions(patches.grid), patches.own
        padded = bool((patches.num_places < tokens.shape[1]).any())
        if kept is not None:
            padded = bool((kept < 0).any())
            kept = to_device(kept, tokens.device)
            tokens, valid = take_places(tokens, kept.clamp(min=0)), kept >= 0
        num_first = len(self.class_tokens)
        first = self.class_tokens.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        valid = torch.cat([valid.new_ones(first.shape[:2]), valid], dim=1)
        # Without a mask attention may take a kernel that never holds the whole b x n x n.
        attended = valid if padded else None
        states = self.transformer.states(torch.cat([first, tokens], dim=1), rng, attended)
        return tuple(state[:, num_first:] for state in states)


def build_spectrogram_vit(config: SpectrogramVitConfig, seed: int) -> SpectrogramVit:
    """The encoder with fresh weights, a function of (config, seed); global generators are untouched.

    Args:
        config: which encoder.
        seed: the run's seed.
    """
    with seeded(seed, "spectrogram_vit"):
        return SpectrogramVit(config)
