"""Who is measured, by name."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from benchmarks import ours, peers_plain
from benchmarks.bound import libavcodec_alone
from benchmarks.peers_plain import Delivered
from benchmarks.peers_pytorchvideo import pytorchvideo_loader
from benchmarks.peers_ray_data import ray_data
from benchmarks.workload import Workload, jobs

Open = Callable[[Workload, int], AbstractContextManager[Iterator[Delivered]]]
"""(workload, passes) -> its batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    name: str
    open: Open
    on_packed: bool = False
    needs_ray: bool = False
    gives_frames: bool = True


def _plain(
    read_item: peers_plain.ReadItem, workload: Workload, num_passes: int
) -> AbstractContextManager[Iterator[Delivered]]:
    items = list(jobs(workload, num_passes))
    return peers_plain.loader(read_item, items, workload.batch_items)


PYTORCHVIDEO = ("pytorchvideo, PyAV", "pytorchvideo, decord")
PLAIN = ("DataLoader, decord", "DataLoader, PyAV", "DataLoader, torchcodec")
RAY_DATA = "Ray Data read_videos"
PROCESSES, SOURCES, PACKED = "avrep, plain processes", "avrep", "avrep, packed"
PACKED_PROCESSES = "avrep, packed, plain processes"
BOUND_EACH, BOUND_UNION = "libavcodec, a pass each view", "libavcodec, one pass"
BOUND_PACKED = "libavcodec, a pass each view, packed"

# In this order, so that those that are compared most closely run next to each other.
CONTENDERS = (
    Contender(name=PYTORCHVIDEO[0], open=partial(pytorchvideo_loader, "pyav")),
    Contender(name=PYTORCHVIDEO[1], open=partial(pytorchvideo_loader, "decord")),
    Contender(name=PLAIN[0], open=partial(_plain, peers_plain.read_with_decord)),
    Contender(name=PLAIN[1], open=partial(_plain, peers_plain.read_with_pyav)),
    Contender(name=PLAIN[2], open=partial(_plain, peers_plain.read_with_torchcodec)),
    Contender(name=BOUND_EACH, open=partial(libavcodec_alone, "each"), gives_frames=False),
    Contender(name=BOUND_UNION, open=partial(libavcodec_alone, "union"), gives_frames=False),
    Contender(
        name=BOUND_PACKED,
        open=partial(libavcodec_alone, "each"),
        gives_frames=False,
        on_packed=True,
    ),
    Contender(name=PACKED_PROCESSES, open=ours.in_processes, on_packed=True),
    Contender(name=PROCESSES, open=ours.in_processes),
    Contender(name=SOURCES, open=ours.on_ray, needs_ray=True),
    Contender(name=PACKED, open=ours.on_ray, needs_ray=True, on_packed=True),
    Contender(name=RAY_DATA, open=ray_data, needs_ray=True),
)
