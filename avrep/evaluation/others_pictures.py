"""Synchrony's control: sounds with another clip's pictures, never with their own."""

from collections.abc import Callable

from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""Scores of the sounds of a batch with as many clips' pictures, whosever these are."""


class OthersPictures:
    """Scores of each sound with the pictures of the clip before it in its batch, in a ring.

    A clip that is alone in its batch takes the last of the batch before; the first of all, the next.
    """

    def __init__(self) -> None:
        self.scores: list[Tensor] = []
        """In the order of the clips; none where there is one clip in all."""
        self._before: Tensor | None = None
        self._lone: Score | None = None

    def add(self, pictures: Tensor, score: Score) -> None:
        """The next batch.

        Args:
            pictures: [b ...], as `score` takes them.
            score: of this batch's sounds.
        """
        if self._lone is not None:
            self.scores.append(self._lone(pictures[:1]))
            self._lone = None
        if len(pictures) > 1:
            self.scores.append(score(pictures.roll(1, 0)))
        elif self._before is not None:
            self.scores.append(score(self._before))
        else:
            self._lone = score
        # A copy, so that the batch need not stay in memory.
        self._before = pictures[-1:].clone()
