"""How the visits of a step are shared out among those who read them."""

from collections.abc import Sequence

import numpy as np

from avrep.pipeline.plan import Plan, Sweep, Visit

# A part may be this much of itself longer or shorter at each end, to keep to its blocks: more would
# have the other readers wait for the one with the longest.
_SLACK = 0.25


def cuts(
    plan: Plan | Sweep, planned: Sequence[Visit], num_parts: int, rank: int = 0, world_size: int = 1
) -> list[int]:
    """Where to cut a rank's visits of one step into contiguous parts.

    A part has about the same blocks in each step of a window of blocks, so that what its reader
    has fetched of a block is what it will be asked for.

    Args:
        plan: where the visits come from.
        planned: those of the rank, in the order of their blocks.
        num_parts: at least 1.
        rank: whose visits they are.
        world_size: number of ranks that share each step.

    Returns:
        num_parts + 1 places, ascending, from 0 to the number of visits.
    """
    size = len(planned) / num_parts
    inner = np.arange(1, num_parts)
    places = inner * size
    blocks = [visit.block for visit in planned if visit.block is not None]
    if isinstance(plan, Plan) and planned and len(blocks) == len(planned):
        in_window = plan.shuffle.window_blocks
        window = blocks[0] // in_window
        # In the few steps that end one window and begin the next, parts are equal.
        if blocks[-1] // in_window == window:
            num_blocks = -(-len(plan.rows) // plan.shuffle.block_items) - window * in_window
            share = (rank + inner / num_parts) / world_size
            borders = window * in_window + share * min(in_window, num_blocks)
            slack = _SLACK * size
            places = np.clip(np.searchsorted(blocks, borders), places - slack, places + slack)
    return [0, *np.round(places).astype(int).tolist(), len(planned)]
