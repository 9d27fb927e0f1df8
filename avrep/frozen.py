"""The base of every config: frozen, typed, and deaf to no misspelt key."""

from pydantic import BaseModel, ConfigDict


class FrozenConfig(BaseModel):
    """A config cannot change after it is built, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
