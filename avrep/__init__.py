"""Self-supervised video and audio encoders from large corpora.

Importing this package loads nothing but itself; each name below loads what it needs when it is
first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avrep.library import eval_clips, open_features, stream_clips
    from avrep.trained import load_encoder

__version__ = "0.1.0"
__all__ = ["eval_clips", "load_encoder", "open_features", "stream_clips"]


def __getattr__(name: str) -> object:
    if name in ("eval_clips", "open_features", "stream_clips"):
        from avrep import library

        return getattr(library, name)
    if name == "load_encoder":
        from avrep.trained import load_encoder

        return load_encoder
    raise AttributeError(f"module 'avrep' has no attribute {name!r}")
