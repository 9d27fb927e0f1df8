"""Proves that no sound is ever scored with its own pictures, however clips fall into batches."""

import pytest
import torch
from torch import Tensor

from avrep.evaluation.others_pictures import OthersPictures


@pytest.mark.parametrize(
    ("sizes", "whose"),
    [
        ((4,), [3, 0, 1, 2]),
        ((2, 2), [1, 0, 3, 2]),
        # Alone in the last batch, as 9 clips in batches of 8 are; in the midst; throughout.
        ((3, 1), [2, 0, 1, 2]),
        ((2, 1, 2), [1, 0, 1, 4, 3]),
        ((1, 1, 1), [1, 0, 1]),
        ((1, 2), [1, 2, 1]),
        ((1,), []),
    ],
)
def test_pictures_are_always_another_clip_s(sizes: tuple[int, ...], whose: list[int]) -> None:
    others, first = OthersPictures(), 0
    for size in sizes:
        clips = torch.arange(first, first + size)

        def score(pictures: Tensor, sounds: Tensor = clips) -> Tensor:
            return torch.stack([sounds, pictures], dim=1)

        others.add(clips, score)
        first += size
    found = [pair for scores in others.scores for pair in scores.tolist()]
    assert found == [[sound, pictures] for sound, pictures in enumerate(whose)]
    assert all(sound != pictures for sound, pictures in found)
