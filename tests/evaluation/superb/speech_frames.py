"""Two encoders that learned nothing, for real speech: log-mel energies, and a network as it begins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundTask
from avrep.evaluation.sound.states import Crop, ReadStates, fresh_states
from avrep.evaluation.sound.upstream import HiddenStates, Upstream
from avrep.evaluation.task_result import EncoderFacts
from avrep.models.log_mel import LogMelConfig, log_mel
from avrep.models.waveform import MIN_SAMPLES, WaveformConfig, build_waveform


class MelFrames(Upstream):
    """40 log-mel energies of 25 ms every 10 ms, two to a frame, not normalised."""

    facts = EncoderFacts(name="mel", digest="mel", num_parameters=0)
    num_states = 1
    width = 80
    frame_samples = 320
    min_samples = 560

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        found = [self._of(wave) for wave in waves]
        states = pad_sequence(found, batch_first=True)
        num_frames = torch.tensor([len(each) for each in found])
        return HiddenStates(states=states[None], num_frames=num_frames)

    def _of(self, wave: Tensor) -> Tensor:
        num_frames = (len(wave) - 240) // 320
        config = LogMelConfig(num_bins=40, num_frames=2 * num_frames, mean=-6.0, std=2.0)
        return log_mel(wave[None], config)[0].reshape(num_frames, self.width)


class UntrainedWaveform(Upstream):
    """The tiny waveform encoder with the weights that a run begins with."""

    facts = EncoderFacts(name="untrained", digest="untrained", num_parameters=2_200_000)
    frame_samples = 320
    min_samples = MIN_SAMPLES

    def __init__(self) -> None:
        self._encoder = build_waveform(WaveformConfig(size="tiny"), seed=0).eval()
        self.num_states = self._encoder.num_layers + 1
        self.width = self._encoder.width

    @torch.no_grad()
    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        num_samples = torch.tensor([len(wave) for wave in waves])
        states, num_frames = self._encoder.hidden_states(
            pad_sequence(list(waves), batch_first=True), num_samples
        )
        return HiddenStates(states=torch.stack(states), num_frames=num_frames)


def remembered(upstream: Upstream, task: SoundTask[Any, Any], folder: Path) -> ReadStates:
    """States of whole recordings of one length, each computed once."""
    del folder
    known: dict[str, Tensor] = {}
    fresh = fresh_states(upstream, task.prepare)

    def read(recordings: Sequence[Recording], crop: Crop | None = None) -> HiddenStates:
        assert crop is None
        for recording in recordings:
            if recording.key not in known:
                # A copy, since what is made in inference mode takes no part in gradients.
                known[recording.key] = fresh([recording]).states[:, 0].clone()
        states = torch.stack([known[recording.key] for recording in recordings], dim=1)
        return HiddenStates(
            states=states, num_frames=torch.full((len(recordings),), states.shape[2])
        )

    return read
