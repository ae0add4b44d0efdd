"""Types common to all parameters, and errors that name parameter, value and remedy."""

import difflib
import os
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], AfterValidator(lambda ends: tuple(sorted(ends)))]  # of a random value
Place = Annotated[str, AfterValidator(os.path.expanduser)]


def several(kind: Any) -> Any:
    """The type of a tuple of one or more values; a single one may be given without brackets."""
    brackets = BeforeValidator(lambda value: [value] if isinstance(value, str | int | float) else value)
    return Annotated[tuple[kind, ...], brackets, Field(min_length=1)]


class ConfigError(ValueError):
    """A parameter, profile or strategy that does not exist, or a value that a parameter cannot have."""


def unknown(what: str, name: Any, known: Collection[str]) -> str:
    """An error text for an unknown name, with the most similar known name and all known ones."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {name!r}: {hint}There is {', '.join(sorted(known))}"


class Parameters(BaseModel):
    """A frozen set of parameters. ConfigError: an unknown parameter, or a value that a parameter cannot have."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(map(self._in_words, error.errors()[:5]))) from None

    @classmethod
    def _in_words(cls, error: Any) -> str:
        """One of pydantic's errors as text: parameter, value, and the valid values."""
        name, value = ".".join(map(str, error["loc"])), error["input"]
        if error["type"] == "extra_forbidden":
            return unknown("parameter", name, cls.model_fields)
        problem = error["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
        return f"{name}={value!r:.200}: {problem}" if name else problem
