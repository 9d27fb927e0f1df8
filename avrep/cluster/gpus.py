"""Who gets a GPU: decided from what is asked for and what Ray knows of.

Ray itself waits without a word, for ever, for GPUs that never come.
"""

from dataclasses import dataclass

import ray

from avrep.errors import ConfigError
from avrep.training.parallel import DeviceName


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """Those of a Ray cluster."""

    num: int
    """Registered now."""
    num_free: int
    """Of these, nobody has."""
    can_grow: bool
    """Whether nodes may still come."""


def registered_gpus(*, can_grow: bool) -> Gpus:
    """As Ray tells now; it must be initialised.

    Args:
        can_grow: whether nodes may still come; not to a Ray that was started here.
    """
    num, num_free = (
        int(resources.get("GPU", 0))
        for resources in (ray.cluster_resources(), ray.available_resources())
    )
    return Gpus(num=num, num_free=num_free, can_grow=can_grow)


def takes_gpus(device: DeviceName, num_registered: int) -> bool:
    """Whether workers are to have a GPU each: "auto" is what there is now, "cuda" what may yet come."""
    return device == "cuda" or (device == "auto" and num_registered > 0)


def wait_notice(num_wanted: int, found: Gpus, *, asked: str, mend: str) -> str | None:
    """What to tell a person whose workers have to wait for GPUs; None where enough are free.

    Args:
        num_wanted: one for each worker.
        found: what there is.
        asked: the option that asked for them, with its value.
        mend: what else to ask for.

    Raises:
        ConfigError: there are not that many, and none will come.
    """
    wanted = f"{num_wanted} GPU{'' if num_wanted == 1 else 's'}"
    if num_wanted > found.num and not found.can_grow:
        raise ConfigError(
            f"{asked} wants {wanted}, one for each worker, and Ray finds {found.num} on this "
            f"machine; {mend}, or set RAY_ADDRESS to a cluster that has them"
        )
    if num_wanted > found.num_free:
        return (
            f"{asked}: waiting for {wanted}; of the cluster's nodes that are there now, "
            f"{found.num_free} of {found.num} are free"
        )
    return None
