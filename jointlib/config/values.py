"""What values a parameter can take. What no machine holds or ends is an error here, before the middle of something."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from jointlib import SAMPLE_RATE

_number = BeforeValidator(lambda value: float(value) if isinstance(value, str) else value)  # YAML reads 1e-3 as text
several = BeforeValidator(lambda value: [value] if isinstance(value, str | int | float) else value)


def up_to(most: int, least: int = 1) -> Any:
    return Annotated[int, Field(strict=True, ge=least, le=most)]


# The largest networks have two thousand million weights, the largest corpora what a terabyte holds.
Number = Annotated[float, _number, Field(strict=True)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Decibels = Annotated[Number, Field(ge=-100, le=100)]
ClipSeconds = Annotated[Number, Field(ge=1 / SAMPLE_RATE, le=600)]
NoiseSeconds = Annotated[Number, Field(ge=0.1, le=3600)]
Steps = up_to(10**9)  # of training: years
Width = up_to(1024)  # channels or bands of a network, files, utterances of a batch
Window = up_to(4096)  # samples of a filter
Doublings = up_to(20)
Processors = up_to(256)
Utterances = up_to(10**7)
WordsPerMinute = up_to(450, least=80)  # what espeak-ng can say
Seed = up_to(2**32 - 1, least=0)
Numbers = Annotated[tuple[Decibels, ...], several, Field(min_length=1)]
Names = Annotated[tuple[str, ...], several, Field(min_length=1)]


class ConfigError(ValueError):
    """A parameter, profile or strategy that does not exist, or a value that it cannot take."""


def unknown(what: str, name: Any, known: Collection[str]) -> str:
    """The text of an error: what there is, and what may have been meant."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {name!r}: {hint}There is {', '.join(sorted(known))}"


def in_words(error: Mapping[str, Any], known: Collection[str]) -> str:
    """One of pydantic's errors: parameter, value, and what would be right; `known` are the parameters there are."""
    name = ".".join(str(part) for part in error["loc"] if isinstance(part, str)) or "parameters"
    if error["type"] == "extra_forbidden":
        return unknown("parameter", name.rpartition(".")[2], known)
    if error["type"] == "literal_error":
        return unknown(name, error["input"], re.findall(r"'([^']+)'", error["ctx"]["expected"]))
    message = "a value is missing" if error["type"] == "missing" else error["msg"]
    problem = message.removeprefix("Value error, ").replace("Input should", "must", 1)
    return f"{name}={error['input']!r:.200}: {problem}" if error["loc"] else problem


def without(variant: str, names: Collection[str]) -> str:
    """A variant without what it says about some parameters."""
    return ",".join(part for part in variant.split(",") if part.partition("=")[0] not in names)
