"""Make a Config of a profile (YAML) and overrides. Unknown names are rejected at once."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from jointlib import ROOT
from jointlib.config.experiment import Config
from jointlib.config.values import ConfigError, unknown

PROFILES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
_NOT_IN_VARIANT = {"strategy", "alpha", "seed", *(name for name, entry in Config.model_fields.items() if entry.exclude)}
_ALL = {"strategy": "jt", "per_strategy": {}}  # JT ignores no parameter


def load_config(profile: str | Path = "quick", **overrides: Any) -> Config:
    """Read a profile, by name or by the path of a YAML file, and override some of its parameters.

    A profile may name a ``base`` and hold only what differs. ConfigError names profile, parameter, value and remedy.
    """
    values = _read_profile(profile) | {"profile": Path(profile).stem}
    try:
        base = Config(**values)
        own = {name for row in base.per_strategy for name in base.per_strategy[row] if base.replace(strategy=row)}
    except ConfigError as error:
        raise ConfigError(f"profile {profile}: {error}") from None
    overrides = _own_corpus(overrides)
    plain, changed = (Config(**(values | others | _ALL)) for others in ({}, overrides))
    differing = {name: getattr(changed, name) for name in sorted(set(overrides) - _NOT_IN_VARIANT)}
    # Steps are named even where they are the profile's own: they may be the share of a longer run's parent
    new = {name: value for name, value in differing.items() if value != getattr(plain, name) or name in {*own, "steps"}}
    variant = ",".join(f"{name}={_as_name(value)}" for name, value in new.items())
    return base.replace(**overrides, variant=variant)


def _as_name(value: Any) -> str:
    """A value as part of a folder's name; its end and a digest if it is long or has unsuitable characters."""
    values = value if isinstance(value, list | tuple) else [value]
    text = "+".join(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in values)
    harmless = re.sub(r"[^\w.+-]+", "-", text)
    digest = hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
    return text if harmless == text and len(text) <= 40 else f"{harmless[-20:].strip('-')}-{digest}"


def _read_profile(profile: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a profile, and of its base. `above`: the profiles that have this one as a base."""
    named_in = f"{above[-1]}: base: " if above else ""
    place = os.path.expanduser(profile)  # noqa: PTH111 - leaves ~name of an unknown user as it is
    paths = (PROFILES.get(str(profile), Path(place)), ROOT / place)
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
    name = values.pop("base", None)
    base = _read_profile(name, (*above, file)) if name else {}
    rows, own = base.get("per_strategy"), values.get("per_strategy", {})
    if isinstance(rows, dict) and isinstance(own, dict):  # what this profile says for all replaces what rows have
        values["per_strategy"] = {row: {k: v for k, v in rows[row].items() if k not in values} for row in rows} | own
    return base | _own_corpus(values)


def _own_corpus(values: dict[str, Any]) -> dict[str, Any]:
    """Naming a `corpus` disables the embedded one."""
    return {"embedded": None, **values} if "corpus" in values else values
