"""Looks at the machine and the installed packages, and says for each fault what mends it."""

import json
import os
import platform
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from avrep.report.findings import Finding, Status
from avrep.report.machine import free_memory_bytes, usable_cores
from avrep.report.trials import TIME_LIMIT_S, Trial, try_libraries

_MATCHED = ("torch", "torchvision", "torchaudio")
_REQUIRED = ("av", *_MATCHED)
_GIB = 1 << 30


def examine(time_limit_s: float = TIME_LIMIT_S) -> tuple[Finding, ...]:
    """Everything that avrep needs or can use. Takes as long as importing torch does.

    Args:
        time_limit_s: a library that has not finished by then is reported as slow, not as broken.
    """
    groups = (("av", "decord"), (*_MATCHED, "torchcodec"))
    trials = try_libraries(groups, time_limit_s)
    return (
        _python(),
        _package("avrep"),
        *(_library(name, trials[name]) for name in _MATCHED),
        _matched_set(),
        _gpus(trials["torch"]),
        *(_library(name, trials[name]) for name in ("av", "decord", "torchcodec")),
        _package("ray"),
        _cores(),
        _memory(),
        _shared_memory(),
        _disk(),
    )


def _python() -> Finding:
    version = sys.version_info[:2]
    fine = (3, 11) <= version <= (3, 12)
    mend = "" if fine else "make PYTHON=python3.11 install"
    return Finding(
        name="python",
        status="ok" if fine else "fail",
        found=f"{platform.python_version()} at {sys.executable}",
        mend=mend,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(package: str) -> Finding:
    """A package that is asked for its version only."""
    version = _version(package)
    if version is None:
        mend = "pip install -e ." if package == "avrep" else _install(package)
        return Finding(name=package, status="fail", found="not installed", mend=mend)
    return Finding(name=package, status="ok", found=version)


def _wanted(package: str) -> str:
    """What avrep's own metadata asks for, as pip takes it: `"torch>=2.11,<2.12"`."""
    try:
        requirements = metadata.requires("avrep") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        spec = requirement.partition(";")[0].strip()
        if re.split(r"[^A-Za-z0-9_-]", spec)[0] == package:
            return f'"{spec}"'
    return package


def _library(name: str, trial: Trial) -> Finding:
    """A library that was imported, and put to work where there is a trial for it."""
    version = _version(name) or "no version"
    needed: Status = "fail" if name in _REQUIRED else "warn"
    match trial.outcome:
        case "ok":
            said = f"{version}, {trial.said}" if trial.said and name != "torch" else version
            return Finding(name=name, status="ok", found=said)
        case "missing":
            mend = _install(name)
            return Finding(name=name, status=needed, found="not installed", mend=mend)
        case "broken":
            found = f"{version}: {trial.said}"
            return Finding(name=name, status=needed, found=found, mend=_repair(name, trial.said))
        case "slow" | "untried":
            mend = "run this again; a first import from a slow disk takes its time"
            found = f"{version}: {trial.said}"
            return Finding(name=name, status="warn", found=found, mend=mend)


def _install(name: str) -> str:
    # One of the three alone would pull in another version of the others.
    names = _MATCHED if name in _MATCHED else (name,)
    return "pip install " + " ".join(_wanted(package) for package in names)


def _repair(name: str, said: str) -> str:
    if name == "torchcodec" and "ffmpeg" in said.lower():
        return "apt-get install ffmpeg"
    if name in _MATCHED:
        return _install(name).replace("install", "install --force-reinstall", 1)
    return f"pip install --force-reinstall --no-deps {_wanted(name)}"


def _matched_set() -> Finding:
    """Whether the three were built against each other, by their versions alone.

    torch 2.n goes with torchaudio 2.n and torchvision 0.(n + 15): the projects' own tables.
    """
    versions = {name: _version(name) for name in _MATCHED}
    found = ", ".join(f"{name} {version or 'absent'}" for name, version in versions.items())
    minors = {name: _minor(version) for name, version in versions.items()}
    torch = minors["torch"]
    fits = (
        torch is not None
        and minors["torchaudio"] == torch
        and minors["torchvision"] == (0, torch[1] + 15)
    )
    kinds = {(version or "").partition("+")[2] for version in versions.values()}
    if fits and len(kinds) == 1:
        return Finding(name="torch set", status="ok", found=found)
    return Finding(
        name="torch set", status="fail", found=f"not one set: {found}", mend=_install("torch")
    )


def _minor(version: str | None) -> tuple[int, int] | None:
    parts = (version or "").split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    return int(parts[0]), int(parts[1])


def _gpus(torch: Trial) -> Finding:
    devices = json.loads(torch.said) if torch.outcome == "ok" else []
    if devices:
        found = ", ".join(f"{name} ({size / _GIB:.0f} GiB)" for name, size in devices)
        return Finding(name="GPUs", status="ok", found=f"{len(devices)}: {found}")
    if torch.outcome == "ok" and shutil.which("nvidia-smi"):
        mend = "nvidia-smi (its first lines name the driver; torch's build needs one as new)"
        return Finding(name="GPUs", status="warn", found="there, but not for torch", mend=mend)
    return Finding(name="GPUs", status="ok", found="none; training runs on the CPU")


def _cores() -> Finding:
    cores = usable_cores()
    all_cores = os.cpu_count() or 1
    of = f" of the machine's {all_cores}" if cores < all_cores else ""
    return Finding(name="CPU cores", status="ok", found=f"{round(cores, 1):g}{of}")


def _memory() -> Finding:
    free = free_memory_bytes()
    if free is None:
        return Finding(name="free memory", status="ok", found="not known on this system")
    few = free < 3 * _GIB
    mend = "end other programs, or raise the container's limit (docker run --memory=8g)"
    return Finding(
        name="free memory",
        status="warn" if few else "ok",
        found=f"{free / _GIB:.1f} GiB",
        mend=mend if few else "",
    )


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding(name="/dev/shm", status="ok", found="none on this system")
    size = shutil.disk_usage(folder).total
    few = size < 2 * _GIB
    return Finding(
        name="/dev/shm",
        status="warn" if few else "ok",
        found=f"{size / _GIB:.1f} GiB" + ("; Ray keeps its objects on disk instead" if few else ""),
        mend="docker run --shm-size=8g, or mount -o remount,size=8g /dev/shm" if few else "",
    )


def _disk() -> Finding:
    """The smaller of what is left for runs (here) and for Ray's spilled objects (temporary)."""
    places = {"here": Path.cwd(), "for temporary files": Path(tempfile.gettempdir())}
    free = {name: shutil.disk_usage(path).free for name, path in places.items()}
    least = min(free.values())
    status: Status = "fail" if least < _GIB // 4 else "warn" if least < 5 * _GIB else "ok"
    return Finding(
        name="free disk",
        status=status,
        found=", ".join(f"{size / _GIB:.1f} GiB {name}" for name, size in free.items()),
        mend="" if status == "ok" else "delete what is not needed: du -xh . | sort -h | tail",
    )
