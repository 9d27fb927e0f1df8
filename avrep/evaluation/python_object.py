"""What `package.module:name` on a command line names: code of the person's own."""

import importlib
from typing import Any

from avrep.errors import ConfigError


def python_object(path: str) -> Any:
    """Import it.

    Raises:
        ConfigError: there is no such thing.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"python:{path}: want python:package.module:name")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"python:{path}: cannot import {module_name}: {error}") from None
    if not hasattr(module, attribute):
        raise ConfigError(f"python:{path}: {module_name} has no {attribute}")
    return getattr(module, attribute)
