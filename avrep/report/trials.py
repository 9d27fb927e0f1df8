"""Tries libraries in processes of their own: a broken one may end its process, or never return."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

TIME_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying one library."""

    outcome: Literal["ok", "missing", "broken", "slow", "untried"]
    """ "untried": a library before it ended or held up the process that they shared."""
    said: str = ""


def try_libraries(
    groups: Sequence[Sequence[str]], time_limit_s: float = TIME_LIMIT_S
) -> Mapping[str, Trial]:
    """Imports and tries each library (see `avrep.report.probe`); a `Trial` for every name.

    Args:
        groups: libraries of one group share a process and are tried in order; the groups run side
            by side.
        time_limit_s: for all together; what has not finished by then is ended.
    """
    until_s = time.monotonic() + time_limit_s
    command = [sys.executable, "-m", "avrep.report.probe"]
    running = [
        subprocess.Popen([*command, *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for names in groups
    ]
    trials: dict[str, Trial] = {}
    for names, process in zip(groups, running, strict=True):
        try:
            output = process.communicate(timeout=max(0.0, until_s - time.monotonic()))[0]
            slow = False
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
            slow = True
        found, trying = _read(output)
        ending = Trial(outcome="slow", said=f"not finished after {time_limit_s:g} s")
        if not slow:
            ending = Trial(outcome="broken", said=f"it ended its process ({_reason(process)})")
        untried = Trial(outcome="untried", said=f"not tried, because of {trying or 'the probe'}")
        for name in names:
            trials[name] = found.get(name, ending if name == trying else untried)
    return trials


def _read(output: bytes) -> tuple[dict[str, Trial], str]:
    """The outcomes reported, and which library was being tried last."""
    found: dict[str, Trial] = {}
    trying = ""
    for line in output.decode("utf-8", "replace").splitlines():
        # Libraries may print what they like to the same place.
        try:
            record = json.loads(line)
        except ValueError:
            continue
        match record:
            case {"trying": str(name)}:
                trying = name
            case {"name": str(name), "outcome": "ok" | "missing" | "broken" as how, "said": str(s)}:
                found[name] = Trial(outcome=how, said=s)
            case _:
                continue
    return found, trying


def _reason(process: subprocess.Popen[bytes]) -> str:
    if process.returncode >= 0:
        return f"exit status {process.returncode}"
    try:
        return signal.Signals(-process.returncode).name
    except ValueError:
        return f"signal {-process.returncode}"
