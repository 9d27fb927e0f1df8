"""Encoders of sound for tests: spectra that a head can read tokens from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import Example, SoundTask
from avrep.evaluation.sound.states import Crop, ReadStates, fresh_states
from avrep.evaluation.sound.upstream import HiddenStates, Upstream
from avrep.evaluation.task_result import EncoderFacts
from avrep.models.log_mel import LogMelConfig, log_mel

E = TypeVar("E", bound=Example)
P = TypeVar("P")

_MEL = LogMelConfig(num_bins=40, num_frames=1, mean=0.0, std=0.5)


class Mel(Upstream):
    """Log-mel energies of 25 ms every 10 ms, three of them to a state: 33 a second, 120 wide."""

    facts = EncoderFacts(name="mel", digest="0", num_parameters=0)
    num_states = 1
    width = 120
    frame_samples = 480
    min_samples = 720

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        found = [self._of(wave) for wave in waves]
        states = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        num_frames = torch.tensor([len(each) for each in found])
        return HiddenStates(states=states[None], num_frames=num_frames)

    def _of(self, wave: Tensor) -> Tensor:
        num_frames = 3 * ((len(wave) - 240) // self.frame_samples)
        config = _MEL.model_copy(update={"num_frames": num_frames})
        mel = log_mel(wave[None], config)[0]
        mel = (mel - mel.mean(dim=0)) / (mel.std(dim=0) + 1e-3)
        return mel.reshape(num_frames // 3, self.width)


def remembered(upstream: Upstream, task: SoundTask[E, P], folder: Path) -> ReadStates:
    """States of whole recordings, each computed once."""
    del folder
    known: dict[str, Tensor] = {}
    fresh = fresh_states(upstream, task.prepare)

    def read(recordings: Sequence[Recording], crop: Crop | None = None) -> HiddenStates:
        assert crop is None
        for recording in recordings:
            if recording.key not in known:
                found = fresh([recording])
                known[recording.key] = found.states[:, 0, : int(found.num_frames[0])]
        rows = [known[recording.key].transpose(0, 1) for recording in recordings]
        states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).permute(2, 0, 1, 3)
        return HiddenStates(states=states, num_frames=torch.tensor([len(row) for row in rows]))

    return read
