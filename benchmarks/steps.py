"""`python -m benchmarks.steps`: what a training step of each method costs, on a CPU or a GPU.

    python -m benchmarks.steps [METHOD ...] [--device cuda] [--items 64] [--precision bf16] [--all-sizes]

A step is forward, backward and update on clips that are there already, by the published recipe, with
another size of encoder. Operations are counted by torch's own counter, of matrix products and
convolutions, recomputed ones included. They are set against what the device reaches in one large
matrix product of the same precision, measured in the same process, and on GPUs whose peak is
published against that too (model FLOP utilisation). Convolutions go through another library of
torch's and can be quicker than that product. transformers' steps take turns with avrep's.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from avrep.models.mixed_precision import Precision
from avrep.training.optim import build_optimizer
from avrep.training.step import take_step
from benchmarks.machine import describe_machine
from benchmarks.measure import Spread, in_child, spread
from benchmarks.peers_transformers import PEERS, Step, peer_step
from benchmarks.random_batch import on_device, random_batch
from benchmarks.report import table
from benchmarks.step_cases import CASES, StepCase

_HERE = Path(__file__).resolve().parent
_PUBLISHED_FLOPS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Dense bfloat16 on tensor cores, by a part of the device's name: Nvidia's data sheets."""
_LIMIT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is common to all steps of a table."""

    device: str
    precision: Precision
    num_items: int
    num_steps: int
    num_threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Of one method and size."""

    num_parameters: int
    num_clips: int
    step_s: Spread
    flops: float
    """Of a step."""
    product_flops: float
    """A second, in a matrix product."""
    peak_bytes: int | None
    """Of the GPU's memory."""
    peer_ratio: Spread | None
    """Time of transformers' step over avrep's, round by round."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    methods = list(dict.fromkeys(case.method for case in CASES))
    parser.add_argument("methods", nargs="*", help=f"of {', '.join(methods)}; all if none is named")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--items", type=int, help="in a step: 2 on a CPU, 32 on a GPU")
    parser.add_argument("--steps", type=int, default=5, help="timed, after two that are not")
    parser.add_argument("--threads", type=int, default=2, help="of torch on the CPU")
    parser.add_argument("--all-sizes", action="store_true", help="not the smallest alone")
    parser.add_argument("--out", type=Path, help="benchmarks/steps_DEVICE.md if not given")
    chosen = parser.parse_args()
    if unknown := set(chosen.methods) - set(methods):
        parser.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(methods)}")
    on_cpu = chosen.device == "cpu"
    setting = Setting(
        device=chosen.device,
        precision=chosen.precision or ("fp32" if on_cpu else "bf16"),
        num_items=chosen.items or (2 if on_cpu else 32),
        num_steps=chosen.steps,
        num_threads=chosen.threads,
    )
    costs: dict[StepCase, StepCost | str] = {}
    for case in _cases(chosen.methods or methods, all_sizes=chosen.all_sizes):
        try:
            costs[case] = in_child(measure, case, setting, limit_s=_LIMIT_S)
        except RuntimeError as error:
            costs[case] = " ".join(str(error).split())[:200]
        print(case.method, case.size, costs[case], file=sys.stderr, flush=True)
    out = chosen.out or _HERE / f"steps_{chosen.device}.md"
    out.write_text(_page(setting, costs), encoding="utf-8")
    print(out)


def measure(case: StepCase, setting: Setting) -> StepCost:
    """Time a case; to be called in a process of its own."""
    torch.set_num_threads(setting.num_threads)
    torch.manual_seed(0)
    device = torch.device(setting.device)
    objective = case.build().to(device).train()
    config = case.config()
    batch = on_device(random_batch(objective, setting.num_items), device)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim)

    def ours() -> None:
        take_step(objective, optimizer, batch, lr=1e-6, precision=setting.precision, seed=0)
        objective.after_step(batch.step + 1, config.train.num_steps)

    with FlopCounterMode(display=False) as counter:
        ours()
    # Before the peer has weights, gradients and averages there too.
    peak_bytes = _peak_bytes(ours, device)
    steps: list[Step] = [ours]
    if case.method in PEERS:
        steps.append(peer_step(objective, config, batch, setting.precision))
    times = _in_turns(steps, setting)
    return StepCost(
        num_parameters=sum(p.numel() for p in objective.parameters() if p.requires_grad),
        num_clips=len(batch.views) * setting.num_items,
        step_s=spread(times[0]),
        flops=float(counter.get_total_flops()),
        product_flops=_product_flops(setting),
        peak_bytes=peak_bytes,
        peer_ratio=_ratio(times[1], times[0]) if len(times) > 1 else None,
    )


def _cases(methods: Sequence[str], *, all_sizes: bool) -> list[StepCase]:
    found = [case for case in CASES if case.method in methods]
    if all_sizes:
        return found
    smallest: dict[str, StepCase] = {}
    for case in found:
        smallest.setdefault(case.method, case)
    return list(smallest.values())


def _in_turns(steps: Sequence[Step], setting: Setting) -> list[list[float]]:
    """Seconds of each step, after two rounds that are not counted."""
    times: list[list[float]] = [[] for _ in steps]
    for number in range(setting.num_steps + 2):
        for step, taken in zip(steps, times, strict=True):
            seconds = _seconds(step, setting)
            if number >= 2:
                taken.append(seconds)
    return times


def _seconds(work: Callable[[], object], setting: Setting) -> float:
    if setting.device == "cuda":
        torch.cuda.synchronize()
    began_s = time.perf_counter()
    work()
    if setting.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began_s


def _peak_bytes(step: Step, device: torch.device) -> int | None:
    """Of a GPU's memory, in one step; what else lies there counts too. None: it is no GPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device)


def _product_flops(setting: Setting) -> float:
    """Operations a second in the fastest of several products of square matrices."""
    side = 8192 if setting.device == "cuda" else 2048
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    left = torch.randn(side, side, device=setting.device, dtype=dtype)
    fastest_s = min(_seconds(lambda: left @ left, setting) for _ in range(5))
    return 2 * side**3 / fastest_s


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    return spread([their / own for their, own in zip(theirs, ours, strict=True)])


def _page(setting: Setting, costs: dict[StepCase, StepCost | str]) -> str:
    made = describe_machine()
    device = (
        torch.cuda.get_device_name()
        if setting.device == "cuda"
        else f"{made['processor']}, {setting.num_threads} threads"
    )
    published = next((flops for name, flops in _PUBLISHED_FLOPS.items() if name in device), None)
    if setting.device != "cuda" or setting.precision != "bf16":
        published = None
    rows = [
        _row(case, cost, published) for case, cost in costs.items() if isinstance(cost, StepCost)
    ]
    absent = [
        f"- {case.method}, {case.size}: {cost}"
        for case, cost in costs.items()
        if isinstance(cost, str)
    ]
    said = [
        "# What a training step costs",
        "",
        f"Written by `python -m benchmarks.steps --device {setting.device}`; commit {made['commit']}, "
        f"{made['date']}, {device}, torch {torch.__version__}, {setting.precision}, "
        f"{setting.num_items} items a step, load before {made['load_before']}. `benchmarks/steps.py` "
        "says what is measured.",
        "",
        table(_HEAD, rows),
        *(["", "Not measured:", "", *absent] if absent else []),
    ]
    return "\n".join(said) + "\n"


_HEAD = (
    "method, encoder",
    "M parameters",
    "ms a step",
    "clips/s",
    "GFLOP a step",
    "of a matrix product",
    "of the published peak",
    "peak GiB",
    "transformers' time / avrep's",
)


def _row(case: StepCase, cost: StepCost, published: float | None) -> tuple[str, ...]:
    step_s = cost.step_s.median
    rate = cost.flops / step_s
    ratio = cost.peer_ratio
    return (
        f"{case.method}, {case.size}",
        f"{cost.num_parameters / 1e6:.1f}",
        f"{1e3 * step_s:.0f} ({1e3 * cost.step_s.low:.0f} to {1e3 * cost.step_s.high:.0f})",
        f"{cost.num_clips / step_s:.1f}",
        f"{cost.flops / 1e9:.0f}",
        f"{rate / cost.product_flops:.0%}",
        f"{rate / published:.0%}" if published else "",
        f"{cost.peak_bytes / 2**30:.1f}" if cost.peak_bytes is not None else "",
        f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "",
    )


if __name__ == "__main__":
    main()
