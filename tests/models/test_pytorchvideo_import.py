"""Proves that the pytorchvideo parts that avrep builds from import here, and without a warning."""

import sys
import warnings

import pytest

from avrep.models.pytorchvideo_import import pytorchvideo_models

_FAMILIES = ("pytorchvideo", "fvcore", "iopath")


def test_backbones_import_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    # Forget what earlier tests imported, so that the modules are executed here.
    for name in [name for name in sys.modules if name.partition(".")[0] in _FAMILIES]:
        monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, builder in [
            ("resnet", "create_resnet"),
            ("slowfast", "create_slowfast"),
            ("r2plus1d", "create_r2plus1d"),
            ("csn", "create_csn"),
            ("x3d", "create_x3d"),
            ("vision_transformers", "create_multiscale_vision_transformers"),
        ]:
            assert callable(getattr(pytorchvideo_models(name), builder))


def test_another_warning_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(name: str) -> None:
        warnings.warn(f"{name} is old", DeprecationWarning, stacklevel=2)

    monkeypatch.setattr("importlib.import_module", noisy)
    with pytest.warns(DeprecationWarning, match=r"pytorchvideo\.models\.resnet is old"):
        pytorchvideo_models("resnet")
