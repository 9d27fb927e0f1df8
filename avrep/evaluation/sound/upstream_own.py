"""Encoders of ours as upstreams: waveforms, spectrograms, convolutions over spectrograms."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avrep.errors import ConfigError
from avrep.evaluation.sound.equal_lengths import by_equal_lengths
from avrep.evaluation.sound.upstream import HiddenStates, Upstream, encoder_digest, joined
from avrep.evaluation.task_result import EncoderFacts
from avrep.models import audio_conv, waveform
from avrep.models.audio_conv import AudioConv
from avrep.models.features import Encoder
from avrep.models.log_mel import samples_of
from avrep.models.spectrogram_vit import SpectrogramVit
from avrep.models.waveform import Waveform

_FRAME_SAMPLES = 160


def own_upstream(encoder: Encoder, name: str, device: torch.device | None = None) -> Upstream:
    """An encoder that a run trained, or might have.

    Args:
        encoder: of sound; it is put in evaluation mode and moved.
        name: as it was asked for.
        device: where it computes; the CPU if None.

    Raises:
        ConfigError: it is no encoder of sound.
    """
    encoder = encoder.eval().to(device or torch.device("cpu"))
    device = device or torch.device("cpu")
    if isinstance(encoder, Waveform):
        return WaveformUpstream(encoder, name, device)
    if isinstance(encoder, SpectrogramVit):
        return SpectrogramUpstream(encoder, name, device)
    if isinstance(encoder, AudioConv):
        return ConvUpstream(encoder, name, device)
    raise ConfigError(f"{name}: {type(encoder).__name__} is no encoder of sound")


class _OwnUpstream(Upstream):
    def __init__(self, encoder: Encoder, name: str, device: torch.device) -> None:
        self.facts = EncoderFacts(
            name=name, digest=encoder_digest(encoder), num_parameters=encoder.num_parameters
        )
        self.width = encoder.width
        self.device = device

    @abstractmethod
    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates: ...

    def _padded(self, waves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """float32[b s] and int64[b], on the device."""
        num_samples = torch.tensor([len(wave) for wave in waves], device=self.device)
        return pad_sequence(list(waves), batch_first=True).to(self.device), num_samples


class WaveformUpstream(_OwnUpstream):
    """wav2vec 2.0 and HuBERT: all hidden states, 50 a second."""

    def __init__(self, encoder: Waveform, name: str, device: torch.device) -> None:
        super().__init__(encoder, name, device)
        self._encoder = encoder
        self.num_states = encoder.num_layers + 1
        self.frame_samples = waveform.FRAME_SAMPLES
        self.min_samples = waveform.MIN_SAMPLES

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        states, num_frames = self._encoder.hidden_states(*self._padded(waves))
        return HiddenStates(states=torch.stack(states), num_frames=num_frames)


class SpectrogramUpstream(_OwnUpstream):
    """A transformer over patches: each block's tokens, averaged over the bands of each moment.

    A sound longer than a learned table of positions is taken in pieces, one after another, and what
    is left over at its end, if it is less than a patch, is dropped.
    """

    def __init__(self, encoder: SpectrogramVit, name: str, device: torch.device) -> None:
        super().__init__(encoder, name, device)
        config = encoder.config
        self._encoder = encoder
        self._num_bands = config.num_bands
        self._piece: int | None = None
        if config.positions == "learned":
            self._piece = config.spectrogram.num_frames
        self.num_states = encoder.num_layers + 1
        self.frame_samples = config.patch_frames * _FRAME_SAMPLES
        self.min_samples = config.min_samples

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        piece = self._piece
        if piece is None or all(len(wave) <= samples_of(piece) for wave in waves):
            return self._whole(waves)
        each = []
        for wave in waves:
            pieces = [self._whole([part]) for part in self._pieces(wave, piece)]
            each.append(torch.cat([found.states[:, 0] for found in pieces], dim=1))
        return joined(each)

    def _whole(self, waves: Sequence[Tensor]) -> HiddenStates:
        states, num_places = self._encoder.hidden_states(*self._padded(waves))
        over_bands = torch.stack(states).unflatten(2, (-1, self._num_bands)).mean(dim=3)
        return HiddenStates(states=over_bands, num_frames=num_places // self._num_bands)

    def _pieces(self, wave: Tensor, num_frames: int) -> list[Tensor]:
        starts = range(0, max(1, len(wave) - self.min_samples + 1), num_frames * _FRAME_SAMPLES)
        return [wave[start : start + samples_of(num_frames)] for start in starts]


class ConvUpstream(_OwnUpstream):
    """Convolutions over a spectrogram: their output alone, 25 a second; sounds of a length at a time."""

    def __init__(self, encoder: AudioConv, name: str, device: torch.device) -> None:
        super().__init__(encoder, name, device)
        self._encoder = encoder
        self.num_states = 1
        self.frame_samples = 4 * _FRAME_SAMPLES
        self.min_samples = audio_conv.MIN_SAMPLES

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        return by_equal_lengths(waves, self._equal)

    def _equal(self, clips: Tensor) -> Tensor:
        return self._encoder(clips.to(self.device)).tokens[None]
