"""A parameter's value: what its type allows, and errors that say what would be right."""

import difflib
import math
from collections.abc import Collection
from types import UnionType
from typing import Any, get_args, get_origin

import torch


class ConfigError(ValueError):
    """A parameter, profile or strategy that does not exist, or a value that it cannot take."""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """The text of an error: what there is, and what may have been meant."""
    near = difflib.get_close_matches(str(name), [str(entry) for entry in known], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {name!r}: {hint}There is {', '.join(map(str, sorted(map(str, known))))}"


def typed(name: str, kind: Any, value: Any) -> Any:
    """A value as its field wants it: numbers that YAML reads as text (1e-3), single values where several may stand.

    Raises:
        ConfigError: it cannot be one; a number that is not finite can never.
    """
    try:
        return _cast(kind, value)
    except (TypeError, ValueError, OverflowError) as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("|", "or")
        raise ConfigError(f"{name}={value!r}: expected {wanted}, finite where it is a number") from error


def _cast(kind: Any, value: Any) -> Any:
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and type(None) in options:
        return None
    kind = options[0]
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        values = value if isinstance(value, list | tuple) else [value]
        kinds = inner[:1] * len(values) if Ellipsis in inner else inner
        return tuple(_cast(one, entry) for one, entry in zip(kinds, values, strict=True))
    if kind in (int, float):
        if isinstance(value, bool) or kind(value) != float(value) or not math.isfinite(float(value)):
            raise ValueError
        return kind(value)
    if not isinstance(value, kind):
        raise TypeError
    return value


def check_device(name: str) -> None:
    """Raise ConfigError if there is no such device here."""
    try:
        wanted = "cpu" if name == "auto" else torch.device(name).type
    except RuntimeError:
        wanted = ""
    if wanted not in ("cpu", "cuda"):
        raise ConfigError(f"device={name!r}: expected auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={name!r}: torch sees no GPU here; auto takes the CPU then")
