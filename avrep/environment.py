"""Which software and hardware a run used, for its records."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = (
    *("avrep", "torch", "torchaudio", "torchvision", "pytorchvideo", "numpy"),
    *("av", "decord", "torchcodec", "ray", "pyarrow"),
)


def package_versions() -> dict[str, str]:
    """Versions of avrep, Python and the packages that decide what a run computes."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def describe_environment(device: torch.device) -> dict[str, str | int | None]:
    """The versions, the device and, in a checkout, the commit."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        **package_versions(),
        "device": f"{device.type}: {name}",
        "num_threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit that this package is checked out at, with "+" if files differ from it."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # An installed package may lie inside somebody else's checkout.
    return found.stdout.strip() if (folder.parent / ".git").exists() else None
