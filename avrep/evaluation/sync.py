"""How early or late a clip's sound seems: scores of every offset, from distances or from logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from avrep.losses.shift_contrast import shift_distances


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetScores:
    """What was found for each of b clips at each of k offsets."""

    offsets_s: tuple[float, ...]
    """Ascending; how much later than the pictures that it goes with the sound starts."""
    scores: Tensor
    """float32[b k]: higher is likelier. Minus a distance, or a logit."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.offsets_s):
            raise ValueError(
                f"scores of {len(self.offsets_s)} offsets must be float32[b k], "
                f"got {list(self.scores.shape)}"
            )

    def best(self) -> Tensor:
        """int64[b]: the number of each clip's likeliest offset."""
        return self.scores.argmax(dim=1)

    def best_s(self) -> Tensor:
        """float32[b]: the likeliest offset."""
        return torch.tensor(self.offsets_s, device=self.scores.device)[self.best()]

    def confidence(self) -> Tensor:
        """float32[b]: by how much the best score is above the median one.

        With distances it is SyncNet's: the median distance less the least (Chung and Zisserman, "Out
        of time", ACCVW 2016, section 4.1; released code, SyncNetInstance.py). Of an even number of
        offsets the median is the lower one.
        """
        return self.scores.amax(dim=1) - -(-self.scores).median(dim=1).values

    def accuracy(self, numbers: Tensor, within: int = 0) -> Tensor:
        """float32[]: the share of clips whose best offset is at most `within` numbers off.

        Synchformer reports 0 and 1. Chance is not the same for all: at the ends of the grid fewer
        offsets are within 1.

        Args:
            numbers: int64[b], of the true offsets.
            within: how many numbers off still count.
        """
        return ((self.best() - numbers).abs() <= within).float().mean()


def scores_by_shift(video: Tensor, audio: Tensor, reach: int, hop_s: float) -> OffsetScores:
    """Scores at every shift of up to `reach` windows either way, averaged over the windows.

    Of the windows of the pictures only those count that have sound at every shift. SyncNet's released
    code puts zeros in place of sound that is missing instead, which makes the distance at a shift
    depend on how much is missing there.

    Args:
        video: float[b n d], embeddings of windows of pictures, n above 2 * reach.
        audio: float[b n d], of the sound of the same windows.
        reach: windows.
        hop_s: from one window to the next; SyncNet's is 0.04.

    Raises:
        ValueError: there are too few windows.
    """
    num_windows = video.shape[1]
    if num_windows <= 2 * reach or audio.shape[1] != num_windows:
        raise ValueError(
            f"shifts of up to {reach} windows want more than {2 * reach} windows of both; "
            f"got {num_windows} of pictures and {audio.shape[1]} of sound"
        )
    distances = shift_distances(video[:, reach : num_windows - reach], audio).mean(dim=1)
    offsets_s = tuple(number * hop_s for number in range(-reach, reach + 1))
    return OffsetScores(offsets_s=offsets_s, scores=-distances)


def confidence_by_window(distances: Tensor, num_smoothed: int = 9) -> Tensor:
    """float32[b m]: how surely each window's pictures go with the clip's sound.

    Who speaks is told by it: high where lips and sound move together. The median over shifts of the
    clip's mean distances, less the window's distance at the shift that the clip as a whole is likeliest
    at, then the median over `num_smoothed` neighbouring windows (SyncNet's released code,
    SyncNetInstance.py; past the ends there are zeros, as there).

    Args:
        distances: float32[b m k], of m windows at k shifts: `shift_distances`.
        num_smoothed: odd.
    """
    over_windows = distances.mean(dim=1)
    best = over_windows.argmin(dim=1)
    at_best = distances.take_along_dim(best[:, None, None], dim=2)[..., 0]
    raw = over_windows.median(dim=1).values[:, None] - at_best
    half = num_smoothed // 2
    padded = torch.nn.functional.pad(raw, (half, half))
    return padded.unfold(1, num_smoothed, 1).median(dim=2).values
