"""The one door to pytorchvideo, opened only when one of its networks is built.

pytorchvideo 0.1.5 is older than the torch beside it. Its `models` and `layers` work; its
`transforms` import a module that torchvision removed, so avrep has its own. Importing takes some
seconds (fvcore and torchvision come along), which nobody pays who builds another encoder.
"""

import importlib
import warnings
from types import ModuleType


def pytorchvideo_models(name: str) -> ModuleType:
    """The module `pytorchvideo.models.<name>`: "resnet", "slowfast", "csn", "r2plus1d", "x3d" ..."""
    with warnings.catch_warnings():
        # fvcore scripts two losses as it is imported; no call of ours, and nothing we use.
        warnings.filterwarnings(
            "ignore", message=r"`torch\.jit\.script` is deprecated", category=DeprecationWarning
        )
        return importlib.import_module(f"pytorchvideo.models.{name}")
