"""pytorchvideo's LabeledVideoDataset under a DataLoader, as its documentation does it.

A multi-clip sampler opens each video once for both clips; the transform is its own uniform temporal
subsample and short-side scale. The sampler takes the clips that avrep's drew, so that all contenders
do the same work: a clip lasts from its first wanted frame to its last, of which the subsample then
takes every `stride`-th.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from types import ModuleType
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, SequentialSampler

from benchmarks.peers_plain import NUM_WORKERS, Delivered
from benchmarks.workload import SHORT_SIDE_PX, Workload, jobs


def import_pytorchvideo() -> tuple[ModuleType, ModuleType, ModuleType]:
    """The modules `data`, `data.clip_sampling` and `transforms`; importing takes some seconds.

    Its transforms import a module that torchvision has since renamed; it is given that name again.
    """
    import torchvision.transforms.functional

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.modules.setdefault(
            "torchvision.transforms.functional_tensor", torchvision.transforms.functional
        )
        import pytorchvideo.data
        import pytorchvideo.data.clip_sampling
        import pytorchvideo.transforms
    return pytorchvideo.data, pytorchvideo.data.clip_sampling, pytorchvideo.transforms


@contextmanager
def pytorchvideo_loader(
    decoder: Literal["pyav", "decord"], workload: Workload, num_passes: int
) -> Iterator[Iterator[Delivered]]:
    """Batches in the order in which pytorchvideo deals videos to its workers."""
    data, sampling, transforms = import_pytorchvideo()
    clip_s = Fraction((workload.num_frames - 1) * workload.stride + 1) / Fraction(workload.fps)

    class Drawn(sampling.RandomMultiClipSampler):
        def __call__(self, _last_s: float, _duration_s: float, annotation: dict[str, Any]) -> Any:
            starts = annotation["starts_s"]
            ends = [start + self._clip_duration for start in starts]
            zeros, lasts = [0] * len(starts), [True] * len(starts)
            return sampling.ClipInfoList(starts, ends, zeros, zeros, lasts)

    each = transforms.ApplyTransformToKey(
        key="video",
        transform=partial(
            _each_clip,
            [
                transforms.UniformTemporalSubsample(workload.num_frames),
                transforms.ShortSideScale(SHORT_SIDE_PX),
            ],
        ),
    )
    # A clip begins well between two frames, so that no rounding adds or drops one.
    early_s = Fraction(9, 10) / Fraction(workload.fps)
    paths = [
        (job.path, {"starts_s": [_start(view, job.video.start_s, early_s) for view in job.views]})
        for job in jobs(workload, num_passes)
    ]
    dataset = data.LabeledVideoDataset(
        paths,
        Drawn(clip_s, 2),
        video_sampler=SequentialSampler,
        transform=each,
        decode_audio=False,
        decoder=decoder,
    )
    loaded = DataLoader(
        dataset,
        batch_size=workload.batch_items,
        num_workers=NUM_WORKERS,
        collate_fn=_stack,
    )
    yield (tuple(view.permute(0, 2, 3, 4, 1).numpy() for view in views) for views in loaded)


def _start(view: Any, start_s: float, early_s: Fraction) -> Fraction:
    return Fraction(float(view.frames_s[0] - start_s)) - early_s


def _each_clip(steps: list[Any], clips: list[torch.Tensor]) -> list[torch.Tensor]:
    for step in steps:
        clips = [step(clip) for clip in clips]
    return [clip.round_().to(torch.uint8) for clip in clips]


def _stack(items: list[dict[str, Any]]) -> list[torch.Tensor]:
    return [torch.stack(views) for views in zip(*(item["video"] for item in items), strict=True)]
