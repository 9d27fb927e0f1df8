"""What keeps two results of one column of a table from being compared without a word."""

from avrep.evaluation.task_result import TaskResult

_CHOSEN = {
    "seed",
    "chosen_step",
    "chosen_selection",
    "chosen_layer",
    "dev_mtwv",
    "layer_weights",
    "threshold",
    "median_frames",
    "tested_epoch",
    "validation_top1",
    "validation_groups",
}
"""Settings that are found for each encoder on held-out data, or say what was found there."""
_ABSENT = "untold"
_DIGEST_CHARS = 12
_HEX = set("0123456789abcdef")


def difference(first: TaskResult, other: TaskResult) -> str:
    """How `other` was made otherwise than `first`; "" where they can be compared.

    What is chosen for each encoder on held-out data (rates, steps, weights of layers), and the seed,
    may differ: that is the protocol. How many rates were tried may not.
    """
    told = []
    if first.protocol_version != other.protocol_version:
        told.append(
            f"version {other.protocol_version} of the protocol (there {first.protocol_version})"
        )
    if first.data.digest != other.data.digest:
        mine, theirs = short(other.data.digest), short(first.data.digest)
        told.append(f"other lists of items: data {mine} (there {theirs})")
    ours, others = _compared(other), _compared(first)
    told += [
        f"{name} {ours.get(name, _ABSENT)} (there {others.get(name, _ABSENT)})"
        for name in dict.fromkeys((*others, *ours))
        if ours.get(name) != others.get(name)
    ]
    return "; ".join(told)


def short(digest: str) -> str:
    """The beginning of a digest, enough to tell it from others; words in its place as they are."""
    return digest[:_DIGEST_CHARS] if set(digest) <= _HEX else digest


def _compared(result: TaskResult) -> dict[str, str]:
    """The settings that must be alike, as text."""
    chosen = _CHOSEN | _chosen_by(result.protocol)
    found = {name: str(value) for name, value in result.settings.items() if name not in chosen}
    if "lrs_tried" in found:
        found["lrs_tried"] = str(len(found["lrs_tried"].split(",")))
    return found


def _chosen_by(protocol: str) -> set[str]:
    """What else a protocol chooses; fine-tuning takes its recipe's rates as they are."""
    if protocol == "finetune":
        return set()
    if protocol.startswith("linear"):
        return {"how"}
    return {"lr", "weight_decay"}
