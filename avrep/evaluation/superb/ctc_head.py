"""Heads that spell an utterance out: a distribution over tokens for each frame, trained by CTC."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from avrep.evaluation.sound.head import Head
from avrep.evaluation.superb.greedy import greedy_tokens
from avrep.evaluation.superb.spec_augment import (
    SpecAugmentConfig,
    draw_spec_augment,
    spec_augment,
)
from avrep.evaluation.superb.spoken_examples import SpokenExample
from avrep.evaluation.superb.vocabulary import Vocabulary
from avrep.frozen import FrozenConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spelling:
    """What a head read in an utterance."""

    symbols: tuple[str, ...]
    """Greedily decoded."""
    log_probs: Tensor | None
    """float32[n v] on the CPU, where a decoder will want it."""


class CtcHead(Head[SpokenExample, Spelling]):
    """Logits of each frame from features, by `score`; the rest is the same for all.

    The loss is CTC's (Graves et al., ICML 2006): of each utterance over its number of tokens, then the
    mean; an utterance with fewer frames than it needs costs nothing (zero_infinity).

    Args:
        vocabulary: v tokens.
        augment: of features, in training; None: none.
        keep_log_probs: for a decoder to come.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        augment: SpecAugmentConfig | None = None,
        keep_log_probs: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.augment = augment
        self.keep_log_probs = keep_log_probs

    @abstractmethod
    def score(self, features: Tensor, num_frames: Tensor) -> Tensor:
        """Logits float[b n v] of features float[b n d]."""

    def loss(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[SpokenExample]
    ) -> Tensor:
        if self.training and self.augment is not None:
            features = _augmented(features, num_frames, self.augment)
        logits = self.score(features, num_frames)
        targets = [torch.tensor(example.target) for example in examples]
        # In float32 whatever the autocast: sums over paths lose too much in less.
        return functional.ctc_loss(
            logits.float().log_softmax(dim=-1).transpose(0, 1),
            torch.cat(targets).to(logits.device),
            num_frames.cpu(),
            torch.tensor([len(target) for target in targets]),
            blank=self.vocabulary.blank,
            zero_infinity=True,
        )

    def predict(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[SpokenExample]
    ) -> list[Spelling]:
        del examples
        logits = self.score(features, num_frames)
        found = greedy_tokens(logits, num_frames, self.vocabulary.blank)
        spelled = [self.vocabulary.read(tokens) for tokens in found]
        if not self.keep_log_probs:
            return [Spelling(symbols=symbols, log_probs=None) for symbols in spelled]
        rows = zip(logits.float().log_softmax(dim=-1).cpu(), num_frames.tolist(), strict=True)
        kept = [row[:count].clone() for row, count in rows]
        return [
            Spelling(symbols=symbols, log_probs=log_probs)
            for symbols, log_probs in zip(spelled, kept, strict=True)
        ]


class LinearCtc(CtcHead):
    """PR's: two linear layers with nothing between them.

    Args:
        width: d.
        vocabulary: v tokens.
        hidden_width: between the layers.
    """

    def __init__(self, width: int, vocabulary: Vocabulary, hidden_width: int = 256) -> None:
        super().__init__(vocabulary)
        self.project = nn.Linear(width, hidden_width)
        self.classify = nn.Linear(hidden_width, len(vocabulary))

    def score(self, features: Tensor, num_frames: Tensor) -> Tensor:
        del num_frames
        return self.classify(self.project(features))


class RecurrentHeadConfig(FrozenConfig):
    """ASR's and SF's head; the defaults are the published ones."""

    hidden_width: int = Field(default=1024, ge=1)
    """Of the first layer, and of each direction of both LSTMs."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Behind each LSTM, the last one too."""
    augment: SpecAugmentConfig | None = SpecAugmentConfig()
    """Of features, in training. Its sizes are meant for hundreds of features and frames."""

    def notes(self) -> tuple[str, ...]:
        """What results must tell: whether anything is other than published."""
        changed = self.model_dump_json(exclude_defaults=True)
        return () if changed == "{}" else (f"the head is not the published one: {changed}",)


class RecurrentCtc(CtcHead):
    """ASR's and SF's: a linear layer, two bidirectional LSTMs, a linear layer.

    Args:
        width: d.
        vocabulary: v tokens.
        config: sizes.
        keep_log_probs: see `CtcHead`.
    """

    def __init__(
        self,
        width: int,
        vocabulary: Vocabulary,
        config: RecurrentHeadConfig,
        *,
        keep_log_probs: bool = False,
    ) -> None:
        super().__init__(vocabulary, augment=config.augment, keep_log_probs=keep_log_probs)
        hidden_width = config.hidden_width
        self.project = nn.Linear(width, hidden_width)
        self.recurrent = nn.ModuleList(
            BothWays(num_in, hidden_width) for num_in in (hidden_width, 2 * hidden_width)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(2 * hidden_width, len(vocabulary))

    def score(self, features: Tensor, num_frames: Tensor) -> Tensor:
        x = self.project(features)
        for layer in self.recurrent:
            x = self.dropout(layer(x, num_frames))
        return self.classify(x)


class BothWays(nn.Module):
    """A bidirectional LSTM over each row's own frames: float[b n 2h] of float[b n d].

    What torch computes of packed sequences, several times faster on a CPU, where packed sequences go a
    frame at a time. Frames after a row's own hold anything.

    Args:
        width: d.
        hidden_width: h, of each direction.
    """

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(width, hidden_width, batch_first=True)
        self.back = nn.LSTM(width, hidden_width, batch_first=True)

    def forward(self, x: Tensor, num_frames: Tensor) -> Tensor:
        back, _ = self.back(_turned(x, num_frames))
        return torch.cat([self.ahead(x)[0], _turned(back, num_frames)], dim=2)


def _turned(x: Tensor, num_frames: Tensor) -> Tensor:
    """Each row's own frames in reverse order, the others where they were."""
    places = torch.arange(x.shape[1], device=x.device)
    lengths = num_frames.to(x.device)[:, None]
    turned = torch.where(places < lengths, lengths - 1 - places, places)
    return x.gather(1, turned[..., None].expand_as(x))


def _augmented(features: Tensor, num_frames: Tensor, config: SpecAugmentConfig) -> Tensor:
    """Each utterance's own frames augmented; draws are torch's, as dropout's are."""
    rows = []
    for row, count in zip(features, num_frames.tolist(), strict=True):
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        draw = draw_spec_augment(count, features.shape[2], config, rng)
        own = spec_augment(row[:count], draw)
        rows.append(functional.pad(own, (0, 0, 0, len(row) - count)))
    return torch.stack(rows)
