"""SUPERB's head of diarization: a recurrent layer that says of each frame who speaks in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from avrep.evaluation.diarization import Turn
from avrep.evaluation.sound.head import Head
from avrep.evaluation.sound.sound_task import Example
from avrep.evaluation.superb.speaker_activity import frame_labels
from avrep.losses.permutation_bce import permutation_bce


@dataclass(frozen=True, slots=True, kw_only=True)
class DiarizationExample(Example):
    """A stretch of a recording, whole frames."""

    whole: str
    """The key of the recording that it is a stretch of."""
    frames: range
    """Which of its frames."""
    speakers: tuple[str, ...]
    turns: tuple[Turn, ...] = field(repr=False)
    """Of the whole recording, to learn from."""
    reference: tuple[Turn, ...]
    """Of the whole recording, to be scored against."""

    @property
    def as_given(self) -> str:
        return repr((self.whole, self.recording.path.name, self.turns, self.reference))


def example_labels(example: DiarizationExample, frame_s: float, num_speakers: int) -> Tensor:
    """float32[n num_speakers]: 1 where a speaker speaks in a frame of an example."""
    labels = frame_labels(example.turns, example.speakers, example.frames, frame_s, num_speakers)
    return torch.from_numpy(labels)


class DiarizationHead(Head[DiarizationExample, Tensor]):
    """LSTM of 512 units, forward in time, and a linear layer; permutation-free cross entropy.

    An encoder may give a stretch a few frames fewer or more than it lasts: the last one is repeated, or
    the rest is left out, as in the public toolkit.

    Args:
        width: d.
        frame_s: from one of the encoder's frames to the next.
        num_speakers: k; a recording may have fewer.
    """

    def __init__(self, width: int, frame_s: float, num_speakers: int = 2) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(width, 512, batch_first=True)
        self.out = nn.Linear(512, num_speakers)
        self._frame_s = frame_s

    def loss(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[DiarizationExample]
    ) -> Tensor:
        logits = self._logits(features, num_frames, examples)
        labels = [
            example_labels(example, self._frame_s, self.out.out_features) for example in examples
        ]
        wanted = pad_sequence(labels, batch_first=True).to(logits.device)
        lengths = torch.tensor([len(each) for each in labels], device=logits.device)
        return permutation_bce(logits, wanted, lengths)[0]

    def predict(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[DiarizationExample]
    ) -> list[Tensor]:
        """Per example float32[n k], logits of each speaker's speaking in each frame, on the CPU."""
        logits = self._logits(features, num_frames, examples).float().cpu()
        return [row[: len(example.frames)] for row, example in zip(logits, examples, strict=True)]

    def _logits(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[DiarizationExample]
    ) -> Tensor:
        longest = max(len(example.frames) for example in examples)
        places = torch.arange(longest, device=features.device)
        index = torch.minimum(places, num_frames[:, None] - 1)[..., None]
        fitted = features.gather(1, index.expand(-1, -1, features.shape[2]))
        return self.out(self.recurrent(fitted)[0])
