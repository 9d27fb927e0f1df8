"""The encoder of wav2vec 2.0 and HuBERT: convolutions over the waveform, then a transformer.

Baevski, Zhou, Mohamed, Auli, "wav2vec 2.0" (arXiv 2006.11477); Hsu et al., "HuBERT" (arXiv
2106.07447). The modules and their names are torchaudio's, so that state dicts go either way.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.models import wav2vec2_model
from torchaudio.models.wav2vec2 import components

from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder, Features, check_sound
from avrep.models.seeded import seeded
from avrep.transfer import to_device

RATE_HZ = 16000
"""Samples a second that a waveform encoder takes."""
FRAME_SAMPLES = 320
"""Samples from one frame to the next: 50 frames a second."""
MIN_SAMPLES = 400
"""Samples that one frame sees: 25 ms."""

_KERNELS = (10, 3, 3, 3, 3, 2, 2)
_STRIDES = (5, 2, 2, 2, 2, 2, 2)


class WaveformConfig(FrozenConfig):
    """Which waveform encoder."""

    kind: Literal["waveform"] = "waveform"
    size: Literal["base", "large", "tiny"] = "base"
    """base: 12 layers, 768 wide, 94.4 M parameters. large: 24 layers, 1024 wide, 315.4 M, layers
    normalised first, each convolution followed by a norm, each clip's waveform normalised. tiny:
    4 layers, 192 wide, 64 to 128 channels, 2.2 M, else like base; avrep default, for the CPU."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """In attention, after attention and feed-forward blocks, and on the transformer's input. The
    published base has 0.1, the published large none."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    channels: tuple[int, ...]
    num_layers: int
    width: int
    feed_forward_width: int
    num_heads: int
    norm_first: bool


_SIZES = {
    "base": _Size(
        channels=(512,) * 7,
        num_layers=12,
        width=768,
        feed_forward_width=3072,
        num_heads=12,
        norm_first=False,
    ),
    "large": _Size(
        channels=(512,) * 7,
        num_layers=24,
        width=1024,
        feed_forward_width=4096,
        num_heads=16,
        norm_first=True,
    ),
    "tiny": _Size(
        channels=(64,) * 4 + (128,) * 3,
        num_layers=4,
        width=192,
        feed_forward_width=768,
        num_heads=3,
        norm_first=False,
    ),
}


class _OwnMean(nn.Module):
    """float[b d]: the mean over each clip's own frames of tokens float[b n d]."""

    def forward(self, tokens: Tensor, num_frames: Tensor) -> Tensor:
        num_frames = to_device(num_frames, tokens.device)
        valid = _valid(num_frames, tokens.shape[1])[..., None]
        return ((tokens * valid).sum(dim=1) / num_frames[:, None]).to(tokens.dtype)


class Waveform(Encoder):
    """50 tokens a second; the clip's vector is the mean over the frames that hold its own samples.

    A clip's features do not depend on the clips that it is batched with: padded frames are neither
    normalised over, nor convolved, nor attended to. (fairseq, torchaudio and transformers let the
    first layer's group norm run over the padding; a clip alone gives the same there and here.)

    The three stages are public, as objectives mask between them:
    `contextualise(normalise(convolve(clips)))`.

    Args:
        feature_extractor: torchaudio's convolutions.
        encoder: torchaudio's projection and transformer. Its LayerDrop is not used: see
            `contextualise`.
        width: d.
        normalises_input: each clip's samples are brought to mean 0 and variance 1 first.
    """

    def __init__(
        self,
        feature_extractor: components.FeatureExtractor,
        encoder: components.Encoder,
        width: int,
        *,
        normalises_input: bool,
    ) -> None:
        super().__init__(width)
        self.feature_extractor = feature_extractor
        self.encoder = encoder
        self.normalises_input = normalises_input
        self.pool = _OwnMean()

    @property
    def watched(self) -> nn.Module:
        return self.pool

    @property
    def num_layers(self) -> int:
        return len(_layers(self._transformer))

    @property
    def conv_width(self) -> int:
        """c, the width of `convolve`'s features."""
        return self._projection.projection.in_features

    @property
    def _projection(self) -> components.FeatureProjection:
        projection = self.encoder.feature_projection
        assert isinstance(projection, components.FeatureProjection)
        return projection

    @property
    def _transformer(self) -> components.Transformer:
        transformer = self.encoder.transformer
        assert isinstance(transformer, components.Transformer)
        return transformer

    def forward(self, clips: Tensor, /, num_samples: Tensor | None = None) -> Features:
        """The features of a batch of sounds; tokens are the last of the `hidden_states`.

        Tokens of frames past a clip's own samples say nothing.

        Args:
            clips: float[b s], mono at 16 kHz, in [-1, 1].
            num_samples: int64[b]: samples of each row that are the clip's own; None: all. On the
                host, and a GPU is not waited for.

        Raises:
            ValueError: the input has another form, or a clip is shorter than 25 ms.
        """
        features, num_frames = self.convolve(clips, num_samples)
        tokens = self.contextualise(self.normalise(features), num_frames)[-1]
        pooled = self.pool(tokens, num_frames)
        return Features(tokens=tokens, grid=(tokens.shape[1], 1, 1), pooled=pooled)

    def blocks(self) -> tuple[nn.Module, ...]:
        return tuple(_layers(self._transformer))

    def behind_blocks(self) -> tuple[nn.Module, ...]:
        # See `contextualise`: in base the norm is the layers' input's.
        is_last = not self._transformer.layer_norm_first
        return (self._transformer.layer_norm,) if is_last else ()

    def hidden_states(
        self, clips: Tensor, num_samples: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What SUPERB's probes weigh: float[b n d] of each layer, and int64[b] frames of each clip.

        The latter are where `num_samples` is. See `contextualise` for which; arguments and errors are those of `forward`.
        """
        features, num_frames = self.convolve(clips, num_samples)
        return self.contextualise(self.normalise(features), num_frames), num_frames

    def convolve(self, clips: Tensor, num_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Raw features float[b n c], before any norm of the whole, and each clip's frames int64[b], which
        are where `num_samples` is.

        Arguments and errors are those of `forward`.
        """
        check_sound(clips, num_samples, MIN_SAMPLES)
        padded = num_samples is not None and bool((num_samples < clips.shape[1]).any())
        if num_samples is None:
            num_samples = torch.full((clips.shape[0],), clips.shape[1])
        lengths = num_samples
        x = clips
        if self.normalises_input:
            x = _standardise(clips, to_device(num_samples, clips.device))
        x = x[:, None]
        for block in self.feature_extractor.conv_layers:
            assert isinstance(block, components.ConvLayerBlock)
            lengths = (lengths - block.kernel_size) // block.stride + 1
            if padded and isinstance(block.layer_norm, nn.GroupNorm):
                own = to_device(lengths, x.device)
                x = functional.gelu(_norm_own_frames(block.conv(x), own, block.layer_norm))
            else:
                x, _ = block(x, None)
        return x.transpose(1, 2), lengths

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """int64[b]: the frames that `convolve` makes of so many samples."""
        for block in self.feature_extractor.conv_layers:
            assert isinstance(block, components.ConvLayerBlock)
            num_samples = (num_samples - block.kernel_size) // block.stride + 1
        return num_samples

    def normalise(self, features: Tensor) -> Tensor:
        """Layer norm over channels: what the quantiser and the transformer's projection take.

        Args:
            features: float[b n c], as `convolve` gives them.
        """
        return self._projection.layer_norm(features)

    def contextualise(
        self,
        features: Tensor,
        num_frames: Tensor,
        *,
        masked: Tensor | None = None,
        mask_embedding: Tensor | None = None,
        kept_layers: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The transformer's hidden states: its layers' common input and then each layer's output.

        The first is behind the position convolution (and, in base, its norm); the last is the
        transformer's output, in large behind the final norm. These are the 13 of base that SUPERB
        weighs (s3prl's convention).

        LayerDrop skips a layer for the clips that `kept_layers` says, not for the whole batch as
        published: what a clip meets then does not depend on its rank. A skipped layer is computed
        all the same and its output passed over, so that every parameter takes part in each step.

        Args:
            features: float[b n c], behind `normalise`.
            num_frames: int64[b]: frames of each clip; those after are neither attended to nor
                convolved. On the host, as `convolve` gives them, and a GPU is not waited for.
            masked: bool[b n]: frames whose projected features `mask_embedding` replaces.
            mask_embedding: float[d].
            kept_layers: bool[b layers]: which layers each clip goes through; None: all.

        Returns:
            float[b n d], as many as layers and one more.
        """
        projection, transformer = self._projection, self._transformer
        x = projection.dropout(projection.projection(features))
        if masked is not None:
            if mask_embedding is None:
                raise ValueError("masked frames need a mask_embedding")
            x = torch.where(masked[..., None], mask_embedding.to(x.dtype), x)
        valid = _valid(to_device(num_frames, x.device), x.shape[1])
        x = x * valid[..., None]
        b, n = valid.shape
        # Without a mask attention may take a kernel that never holds the whole b x n x n.
        padded = bool((num_frames < n).any())
        attended = valid[:, None, None, :].expand(b, 1, n, n) if padded else None
        # torchaudio calls the norm before the first layer, not that inside layers, "first" here.
        x = transformer._preprocess(x)
        states = [x]
        for number, layer in enumerate(_layers(transformer)):
            y, _ = layer(x, attended)
            x = y if kept_layers is None else torch.where(kept_layers[:, number, None, None], y, x)
            states.append(x)
        if not transformer.layer_norm_first:
            states[-1] = transformer.layer_norm(x)
        return tuple(states)


def build_waveform(config: WaveformConfig, seed: int) -> Waveform:
    """The encoder with fresh weights, a function of (config, seed); global generators are untouched.

    Weights start as fairseq's: convolutions Kaiming normal, the position convolution normal with
    variance 4 / (128 d), the transformer's linear layers normal with deviation 0.02 and bias 0.

    Args:
        config: which encoder.
        seed: the run's seed.
    """
    size = _SIZES[config.size]
    with seeded(seed, "waveform"):
        parts = wav2vec2_model(
            extractor_mode="layer_norm" if size.norm_first else "group_norm",
            extractor_conv_layer_config=[*zip(size.channels, _KERNELS, _STRIDES, strict=True)],
            extractor_conv_bias=size.norm_first,
            encoder_embed_dim=size.width,
            encoder_projection_dropout=config.dropout,
            encoder_pos_conv_kernel=128,
            encoder_pos_conv_groups=16,
            encoder_num_layers=size.num_layers,
            encoder_num_heads=size.num_heads,
            encoder_attention_dropout=config.dropout,
            encoder_ff_interm_features=size.feed_forward_width,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=config.dropout,
            encoder_layer_norm_first=size.norm_first,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        _start_weights(parts)
    extractor, encoder = parts.feature_extractor, parts.encoder
    assert isinstance(extractor, components.FeatureExtractor)
    assert isinstance(encoder, components.Encoder)
    return Waveform(extractor, encoder, size.width, normalises_input=size.norm_first)


def _layers(transformer: components.Transformer) -> nn.ModuleList:
    assert isinstance(transformer.layers, nn.ModuleList)
    return transformer.layers


def _start_weights(parts: nn.Module) -> None:
    for name, module in parts.named_modules():
        if isinstance(module, nn.Linear) and name.startswith("encoder.transformer."):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, components.ConvLayerBlock):
            nn.init.kaiming_normal_(module.conv.weight)
        elif isinstance(module, components.ConvolutionalPositionalEmbedding):
            conv = module.conv
            assert isinstance(conv, nn.Conv1d)
            assert conv.bias is not None
            std = math.sqrt(4 / (module.embed_dim * module.kernel_size))
            # An assignment goes through weight norm to the two tensors that make the weight up; a
            # change in place would be lost.
            conv.weight = torch.randn_like(conv.weight) * std
            nn.init.zeros_(conv.bias)


def _valid(num_frames: Tensor, length: int) -> Tensor:
    """bool[b length]: whether a frame is the clip's own."""
    return torch.arange(length, device=num_frames.device) < num_frames[:, None]


def _standardise(clips: Tensor, num_samples: Tensor) -> Tensor:
    """Each row with mean 0 and variance 1 over its own samples, zero after them."""
    valid = _valid(num_samples, clips.shape[1])
    count = num_samples[:, None]
    centred = (clips - (clips * valid).sum(dim=1, keepdim=True) / count) * valid
    variance = centred.square().sum(dim=1, keepdim=True) / count
    # fairseq's layer norm over the waveform has this eps.
    return centred * (variance + 1e-5).rsqrt()


def _norm_own_frames(x: Tensor, num_frames: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group norm of one channel a group, with each row's statistics from its own frames.

    Args:
        x: float[b c n].
        num_frames: int64[b].
        norm: of c groups.
    """
    assert norm.num_groups == norm.num_channels
    valid = _valid(num_frames, x.shape[2])[:, None]
    count = num_frames[:, None, None]
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        centred = (x - (x * valid).sum(dim=2, keepdim=True) / count) * valid
        variance = centred.square().sum(dim=2, keepdim=True) / count
        scaled = centred * (variance + norm.eps).rsqrt()
        return scaled * norm.weight[:, None] + norm.bias[:, None]
