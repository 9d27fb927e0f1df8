"""The clocks of devices: instants that are taken in passing and read when they are over."""

import time

import torch

from avrep.training.step_clock import StepClock


class HostTimer:
    """Of the CPU, where what was asked for is done when the call returns."""

    def now(self) -> float:
        return time.perf_counter()

    def passed(self, _instant: float) -> bool:
        return True

    def wait_for(self, _instant: float) -> None: ...

    def between_s(self, first: float, last: float) -> float:
        return last - first


class CudaTimer:
    """Of a GPU: events in its queue of work, each stamped by the GPU when it gets there.

    Work of the host that the GPU has to wait for, such as copying into pinned memory, lies between
    two stamps too and is counted where it was done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def passed(self, instant: torch.cuda.Event) -> bool:
        return instant.query()

    def wait_for(self, instant: torch.cuda.Event) -> None:
        instant.synchronize()

    def between_s(self, first: torch.cuda.Event, last: torch.cuda.Event) -> float:
        return first.elapsed_time(last) / 1000


def clock_for(device: torch.device) -> StepClock[float] | StepClock[torch.cuda.Event]:
    """A clock of steps that is right on a device."""
    return StepClock(CudaTimer(device)) if device.type == "cuda" else StepClock(HostTimer())
