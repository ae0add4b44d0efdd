"""A profile (YAML) and what is overridden in it make a Config. Unknown names are errors at once."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

import jointlib
from jointlib import ROOT
from jointlib.config.experiment import Config
from jointlib.config.values import ConfigError, unknown

PROFILES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
_FIELDS = Config.model_fields
_NOT_IN_VARIANT = {"strategy", "alpha", "seed", *(name for name, entry in _FIELDS.items() if entry.exclude)}


def load_config(profile: str | Path = "quick", **overrides: Any) -> Config:
    """Read a profile, by name or by the path of a YAML file, and override some of its parameters.

    A profile may name a ``base`` and hold only what differs. ConfigError names profile, parameter, value and remedy.
    """
    values = _read_profile(profile) | {"profile": Path(profile).stem}
    try:
        Config(**values)
    except ConfigError as error:
        raise ConfigError(f"profile {profile}: {error}") from None
    overrides = _own_corpus(overrides)
    given = Config(**(values | overrides))
    plain = Config(**(values | {"strategy": given.strategy}))  # with what its own strategy may ignore
    differing = {name: getattr(given, name) for name in sorted(set(overrides) - _NOT_IN_VARIANT)}
    parts = [f"{name}={_as_name(value)}" for name, value in differing.items() if value != getattr(plain, name)]
    if len(variant := ",".join(parts)) > 200:
        raise ConfigError(f"{len(parts)} overrides make too long a name; write a profile (base: {profile})")
    return given.replace(variant=variant)


def from_notebook(scope: Mapping[str, Any], own: Collection[str] = ()) -> Config:
    """The Config of a notebook: every UPPER_CASE name in its scope is a parameter, except the notebook's `own`.

    None leaves a parameter to the profile, unless None is one of its values (``STEM = None``). Classes, constants of
    jointlib, tensors and tables that later cells bind are no parameters when the notebook runs again. ConfigError: an
    unknown parameter, one in small letters, or a value that is not written out.
    """
    known = {*own, *(name.upper() for name in _FIELDS if name != "variant")}
    if small := [name for name, value in scope.items() if name in _FIELDS and _is_literal(value)]:
        raise ConfigError(f"parameters of a notebook are written in capitals: {', '.join(small).upper()}")
    given = {name: value for name, value in scope.items() if name.isupper() and name not in own}
    if computed := [name for name, value in given.items() if name in known and not _is_literal(value)]:
        raise ConfigError(f"{', '.join(computed)}: write the value out, as a number, text, or a list of them")
    given = {name: value for name, value in given.items() if _is_literal(value) and not hasattr(jointlib, name)}
    if strange := [name for name in given if name not in known]:
        raise ConfigError("; ".join(unknown("parameter", name, known) for name in strange))
    may_be_none = {name.upper() for name, entry in _FIELDS.items() if type(None) in get_args(entry.annotation)}
    chosen = {name for name, value in given.items() if value is not None or name in may_be_none}
    return load_config(**{name.lower(): given[name] for name in chosen})


def _is_literal(value: Any) -> bool:
    if type(value) in (list, tuple, dict):
        return all(map(_is_literal, value.values() if type(value) is dict else value))
    return value is None or type(value) in (bool, int, float, str)


def _as_name(value: Any) -> str:
    """A value as part of a folder's name; if it is long or has characters that folders do not, its end and a digest."""
    values = value if isinstance(value, list | tuple) else [value]
    text = "+".join(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in values)
    harmless = re.sub(r"[^\w.+-]+", "-", text)
    digest = hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
    return text if harmless == text and len(text) <= 40 else f"{harmless[-20:].strip('-')}-{digest}"


def _read_profile(profile: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a profile, and of its base. `above`: the profiles that have this one as a base."""
    named_in = f"{above[-1]}: base: " if above else ""
    paths = (PROFILES.get(str(profile), Path(profile)), ROOT / profile)
    file = next((path.resolve() for path in paths if path.is_file()), None)
    if file is None:
        raise ConfigError(f"{named_in}{unknown('profile', str(profile), PROFILES)}, or the path of a YAML file")
    if file in above:
        raise ConfigError(f"{named_in}{profile} leads back to itself")
    try:
        text = file.read_text(encoding="utf-8")
        values, tree = yaml.safe_load(text) or {}, yaml.compose(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected lines of NAME: VALUE, found {type(values).__name__}")
    if len(values) < len(names := [key.value for key, _ in tree.value] if tree else []):
        raise ConfigError(f"{file}: {max(names, key=names.count)} is given twice")
    base = values.pop("base", None)
    return (_read_profile(base, (*above, file)) if base else {}) | _own_corpus(values)


def _own_corpus(values: dict[str, Any]) -> dict[str, Any]:
    """Naming a `corpus` disables the embedded one."""
    return {"embedded": None, **values} if "corpus" in values else values
