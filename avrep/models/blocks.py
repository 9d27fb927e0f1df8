"""The blocks that networks are stacked from: what is sharded, recomputed and compiled as one, and what
an encoder's layers are counted by.
"""

from torch import nn

from avrep.models.features import Encoder
from avrep.models.transformer import Transformer


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The blocks of all transformers in a module, and the stages of its residual networks, once each.

    Those of teachers and decoders are among them.

    Args:
        module: an objective, or an encoder.
    """
    found: dict[int, nn.Module] = {}
    for part in module.modules():
        blocks: tuple[nn.Module, ...] = ()
        if isinstance(part, Encoder):
            blocks = part.blocks()
        elif isinstance(part, Transformer):
            blocks = tuple(part.blocks)
        found |= {id(block): block for block in blocks}
    return list(found.values())


def layer_of_each(encoder: Encoder) -> dict[nn.Parameter, int]:
    """The number of the layer that each of an encoder's parameters is in.

    As MAE's and BEiT's fine-tuning count: what makes tokens, or a stem, is 0, then each block is one
    more. What stands behind the blocks, such as a last norm, counts as one more again, like a head.

    Args:
        encoder: its `blocks` are its layers.
    """
    blocks = encoder.blocks()
    layers = dict.fromkeys(encoder.parameters(), 0)
    for number, block in enumerate(blocks, start=1):
        layers |= dict.fromkeys(block.parameters(), number)
    for part in encoder.behind_blocks():
        layers |= dict.fromkeys(part.parameters(), len(blocks) + 1)
    return layers
