"""Where in a document does a query fit best: dynamic time warping with free ends."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]
"""float32[n d]: one vector a frame."""
Floats = npt.NDArray[np.float64]

_MAX_CELLS = 1 << 22
"""Of a query's frames times documents' frames that are held at once."""
_LEAST = 1e-9


def unit_frames(frames: Frames) -> Frames:
    """Each frame at length 1; a frame of zeros stays one."""
    lengths = np.linalg.norm(frames, axis=1, keepdims=True)
    return (frames / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def subsequence_distances(query: Frames, documents: Sequence[Frames]) -> Floats:
    """How far a query is from the stretch of each document that it fits best.

    SUPERB's query by example: the distance of two frames is exp(1 - cosine) - 1; each frame of the
    query has its distances to a document's frames brought to [0, 1]; a path takes every frame of the
    query once and moves 0, 1 or 2 frames on in the document ("asymmetric"), from anywhere to anywhere
    in it; its sum is divided by the query's frames. Equal to dtw-python's `normalizedDistance` with
    `open_begin` and `open_end`.

    Args:
        query: unit frames, see `unit_frames`.
        documents: unit frames, each at least one.

    Returns:
        float64[documents], in [0, 1].
    """
    found = [
        _distances(query, np.concatenate(chunk), np.array([len(frames) for frames in chunk]))
        for chunk in _chunks(documents, max(1, _MAX_CELLS // len(query)))
    ]
    return np.concatenate(found)


def _chunks(documents: Sequence[Frames], max_frames: int) -> Iterator[list[Frames]]:
    chunk: list[Frames] = []
    held = 0
    for frames in documents:
        if not len(frames):
            raise ValueError("a document without frames")
        if chunk and held + len(frames) > max_frames:
            yield chunk
            chunk, held = [], 0
        chunk.append(frames)
        held += len(frames)
    if chunk:
        yield chunk


def _distances(query: Frames, frames: Frames, lengths: npt.NDArray[np.int64]) -> Floats:
    """Of documents that lie one behind the other in `frames`."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    cosines = np.clip(query @ frames.T, -1, 1).astype(np.float64)
    # Frames of zeros are at right angles to all others.
    costs = np.expm1(1 - cosines)
    low = np.minimum.reduceat(costs, starts, axis=1)
    span = np.maximum(np.maximum.reduceat(costs, starts, axis=1) - low, _LEAST)
    costs -= np.repeat(low, lengths, axis=1)
    costs /= np.repeat(span, lengths, axis=1)
    return _best_paths(costs, starts) / len(query)


def _best_paths(costs: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    """The least sum along a path, of each document: all of them a row of the query at a time."""
    # No path may step over a document's first frame.
    seconds = np.minimum(starts + 1, costs.shape[1] - 1)
    total = costs[0].copy()
    for row in costs[1:]:
        one, two = np.empty_like(total), np.empty_like(total)
        one[1:], two[2:] = total[:-1], total[:-2]
        one[starts] = np.inf
        two[starts] = np.inf
        two[seconds] = np.inf
        total = row + np.minimum(total, np.minimum(one, two))
    return np.minimum.reduceat(total, starts)
