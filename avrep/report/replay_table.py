"""What a replayed step shows: lines, a table of its clips, and a sheet with their pictures."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from avrep.assemble import MAIN_CORPUS
from avrep.replay import Replay
from avrep.report.batch_sheet import batch_rows
from avrep.report.contact_sheet import SheetRow, draw_contact_sheet
from avrep.training.examine import ExaminedClip

_MAX_NAMES = 3
_MAX_CLIPS = 16


def replay_lines(replay: Replay, run_dir: Path) -> Iterator[str]:
    """What was made again, how, and what in it was not finite."""
    yield f"step {replay.step} of {run_dir}, {_start(replay)}"
    if (num_trainers := replay.config.train.num_workers) > 1:
        yield (
            f"the run had {num_trainers} trainers: this is their joined batch on one, the same but "
            "for rounding, and for batch norm where each kept its own"
        )
    logged = "" if replay.logged_loss is None else f"; the run logged {replay.logged_loss:.7g}"
    made = f"loss {_number(replay.loss)}, gradient norm {_number(replay.grad_norm)}"
    yield f"{made if replay.loss is not None else 'loss not finite, and so no step'}{logged}"
    yield f"batch {replay.digest[:16]}{_compared(replay)}"
    found = replay.found
    for names, what in (
        (found.weights, "weights that were not finite before the step"),
        (found.layers, "layers whose output is not finite, in the order in which they ran"),
        (found.gradients, "parameters whose gradient is not finite"),
    ):
        if names:
            yield f"{what}: {_some(names)}"
    name, size = found.largest_weight
    yield f"largest weight {size:.4g}, of {name}"
    if found.backward:
        yield f"going back: {found.backward}"
    if not (found.weights or found.layers or found.gradients):
        yield "all weights, layers and gradients are finite"


def replay_table(replay: Replay) -> Table:
    """A line for each clip, those under suspicion first.

    What its loss is alone says nothing where items are compared with each other.
    """
    shows_alone = not replay.objective.compares_items
    heads = ["item", "epoch", "draw", *(["loss alone"] if shows_alone else []), "gradient at it"]
    table = Table(*heads, box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for clip in replay.found.clips[:_MAX_CLIPS]:
        style = "bold red" if clip.is_suspect else ""
        table.add_row(
            _title(replay, clip),
            str(clip.address.epoch),
            str(clip.address.draw),
            *([_number(clip.loss_alone, absent="")] if shows_alone else []),
            _number(clip.grad_norm, absent=""),
            style=style,
        )
    if (more := len(replay.found.clips) - _MAX_CLIPS) > 0:
        table.caption = f"and {more} more, on which the loss hangs less"
    return table


def draw_replay(replay: Replay, out: Path) -> None:
    """Write a PNG of the clips of the table, in its order."""
    rows = [_sheet_row(replay, clip) for clip in replay.found.clips[:_MAX_CLIPS]]
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(rows, out)


def _sheet_row(replay: Replay, clip: ExaminedClip) -> SheetRow:
    batch, inputs, objective = replay.batch, replay.inputs, replay.objective
    if clip.corpus != MAIN_CORPUS:
        batch, inputs = batch.others[clip.corpus], inputs.others[clip.corpus]
        objective = objective.corpora()[clip.corpus]
    (row,) = batch_rows(batch, inputs, objective, replay.sources[clip.corpus], [clip.row])
    suspect = "  NOT FINITE ALONE" if clip.is_suspect else ""
    return SheetRow(title=f"{_title(replay, clip)}{suspect}", views=row.views)


def _start(replay: Replay) -> str:
    if not replay.is_exact:
        return (
            f"with the weights of step {replay.from_step}, the nearest checkpoint: not those that "
            "the run had, so loss and gradient are others"
        )
    start = f"the checkpoint of step {replay.from_step}" if replay.from_step else "the beginning"
    between = replay.step - 1 - replay.from_step
    taken = f" and {between} step{'s' if between > 1 else ''} from there" if between else ""
    return f"with the weights that it had, from {start}{taken}"


def _compared(replay: Replay) -> str:
    if replay.incident is None:
        return ""
    if replay.incident.world_size > 1:
        return f"; the run told of: {replay.incident.kind}"
    same = "the very one" if replay.incident.digest == replay.digest else "NOT the one"
    return f", {same} of which the run told: {replay.incident.kind}"


def _title(replay: Replay, clip: ExaminedClip) -> str:
    main = clip.corpus == MAIN_CORPUS
    batch = replay.batch if main else replay.batch.others[clip.corpus]
    return batch.keys[clip.row] if main else f"{clip.corpus}: {batch.keys[clip.row]}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _number(value: float | None, absent: str = "not finite") -> str:
    if value is None:
        return absent
    return f"{value:.7g}" if math.isfinite(value) else "not finite"
