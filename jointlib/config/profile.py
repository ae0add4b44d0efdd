"""A profile (YAML) and what is overridden in it make a Config. Unknown names are errors at once."""

import hashlib
import os
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

import jointlib
from jointlib.config.experiment import Config
from jointlib.config.places import ROOT
from jointlib.config.values import ConfigError, unknown

__all__ = ["PROFILES", "from_notebook", "load_config", "read_settings"]
PROFILES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
_FIELDS = Config.model_fields
_SETTABLE = set(_FIELDS) - {"profile", "variant"}  # which `load_config` makes
_LONGEST, _LONGEST_VALUE, _DEEPEST = 10_000, 1000, 20  # characters of YAML, of a value in it; brackets in brackets
_OF_ANY_RUN = {"strategy", "alpha", "seed", *(name for name, entry in _FIELDS.items() if entry.exclude)}


def load_config(profile: str | Path = "quick", **overrides: Any) -> Config:
    """Read a profile, by name or by the path of a YAML file, and override some of its parameters.

    A profile may name a ``base`` and hold only what differs. It may be a stranger's: what it has written lies below the
    project's results and data, or below its own folder if that is elsewhere; an override may lead anywhere.
    ConfigError names profile, parameter, value and remedy.
    """
    values = _read_profile(profile) | {"profile": Path(profile).stem}
    plain = Config(**values)
    _check_places(Path(profile), plain)
    if strange := sorted(set(overrides) - _SETTABLE):
        raise ConfigError("; ".join(unknown("parameter", name, _SETTABLE) for name in strange))
    overrides = _own_corpus(overrides)
    given = Config(**(values | overrides))
    plain = plain.replace(strategy=given.strategy)
    differing = {name: getattr(given, name) for name in sorted(set(overrides) - _OF_ANY_RUN)}
    parts = [f"{name}={_as_name(value)}" for name, value in differing.items() if value != getattr(plain, name)]
    return given.replace(variant=",".join(parts))


def from_notebook(scope: Mapping[str, Any], own: Collection[str] = ()) -> Config:
    """The Config of a notebook: every UPPER_CASE name in its scope is a parameter, except the notebook's `own`.

    So each field of Config can be given to papermill in capitals, and a misspelt one stops the notebook at once. None
    leaves a parameter to the profile, unless None is one of its values (``STEM = None``). What later cells of the
    notebook bind is no parameter when it runs again: imported classes and constants, tensors, tables. ConfigError: an
    unknown parameter, one in small letters, or a value that is not written out.
    """
    constants = [name for name in vars(jointlib) if name.isupper()]
    computed = [name for name in scope if name.isupper() and name.lower() in _FIELDS and not _literal(scope[name])]
    if computed:
        raise ConfigError(f"{', '.join(computed)}: write the value out, as a number, text, or a list of them")
    scope = {name: value for name, value in scope.items() if _literal(value) and name not in constants}
    if small := [name for name in scope if name in _FIELDS]:
        raise ConfigError(f"parameters of a notebook are written in capitals: {', '.join(small).upper()}")
    given = {name: value for name, value in scope.items() if name.isupper() and name not in own}
    known = {"PROFILE", *own, *(name.upper() for name in _SETTABLE)}
    if strange := [name for name in given if name not in known]:
        raise ConfigError("; ".join(unknown("parameter", name, known) for name in strange))
    given = {name.lower(): value for name, value in given.items()}
    unset = {name for name, entry in _FIELDS.items() if type(None) not in get_args(entry.annotation)}
    given = {name: value for name, value in given.items() if value is not None or name not in unset}
    return load_config(given.pop("profile"), **given)


def _as_name(value: Any) -> str:
    """A value as part of a folder's name: short and harmless; what cannot be both gets a digest of all of it."""
    values = value if isinstance(value, list | tuple) else [value]
    text = "+".join(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in values)
    harmless = re.sub(r"[^\w.+-]+", "-", text)
    if harmless == text and len(text) <= 40:
        return text
    return f"{harmless[-20:].strip('-')}-{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}"


def _literal(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_literal(entry) for entry in value)
    return value is None or type(value) in (bool, int, float, str, dict)


def read_settings(entries: Sequence[str], others: Mapping[str, Any]) -> dict[str, Any]:
    """Settings such as ``"steps=300"``, the values in YAML, added to others; ConfigError: one is given twice."""
    values = dict(others)
    for entry in entries:
        name, given, text = entry.partition("=")
        if not given or name in values:
            raise ConfigError(f"{entry}: " + (f"{name} is given twice" if given else "expected NAME=VALUE"))
        values[name] = _plain_yaml(text, entry)
    return values


def _read_profile(profile: str | Path) -> dict[str, Any]:
    """What a profile and its bases say."""
    values: dict[str, Any] = {}
    read: list[Path] = []
    while profile is not None:
        if (path := _file(profile, f"{read[-1]}: base: " if read else "").resolve()) in read:
            raise ConfigError(f"{read[-1]}: base {profile!r} leads back to itself")
        read.append(path)
        with path.open("rb") as stream:
            own = _plain_yaml(stream.read(_LONGEST + 1), path)
        own = {} if own is None else own
        if not isinstance(own, dict):
            raise ConfigError(f"{path}: expected lines of NAME: VALUE, found {type(own).__name__}")
        profile = own.pop("base", None)
        if strange := sorted(map(str, set(own) - _SETTABLE)):
            raise ConfigError("; ".join(f"{path}: {unknown('parameter', name, _SETTABLE)}" for name in strange[:5]))
        values = _own_corpus(own) | values
    return values


def _file(profile: str | Path, wanted_by: str) -> Path:
    path = Path(profile) if isinstance(profile, str | Path) else Path()
    if path.suffix not in (".yaml", ".yml"):
        path = PROFILES.get(str(profile), path)
    elif not path.is_absolute() and not path.exists():
        path = ROOT / path
    if not path.is_file():
        raise ConfigError(f"{wanted_by}{unknown('profile', str(profile), PROFILES)}, or the path of a YAML file")
    return path


class _Plain(yaml.SafeLoader):
    """YAML without what parameters have no use for: anchors, which expand without end, tags, and a key twice."""

    def fetch_flow_collection_start(self, *arguments: Any) -> None:
        if self.flow_level >= _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.get_mark())
        super().fetch_flow_collection_start(*arguments)

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        event = self.peek_event()
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem="anchors and tags are not read here", problem_mark=event.start_mark)
        if len(getattr(event, "value", "")) > _LONGEST_VALUE:
            problem = f"a value longer than {_LONGEST_VALUE:,} characters"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and name in seen:
                raise yaml.MarkedYAMLError(problem=f"{name!r} is given twice", problem_mark=key.start_mark)
            seen |= {name} if isinstance(name, Hashable) else set()  # what is not, fails below
        return super().construct_mapping(node, deep)


def _plain_yaml(content: str | bytes, place: str | Path) -> Any:
    """A value written in YAML; ConfigError names the `place` that it comes from."""
    if len(content) > _LONGEST:
        raise ConfigError(f"{place!s:.200}: longer than {_LONGEST:,} characters")
    try:
        return _Plain(content).get_single_data()
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # 1:1:...:1.5 is a number, too
        raise ConfigError(f"{place!s:.200}: not readable as YAML ({' '.join(str(error).split())})") from error


def _check_places(file: Path, profile: Config) -> None:
    """Raise ConfigError if a profile has results or an embedded corpus written where it has no business."""
    beside = file.resolve().parent
    elsewhere = not (beside.is_relative_to(ROOT) or ROOT.is_relative_to(beside))
    places = {"results": ROOT / profile.results}
    if profile.embedded is not None:
        places["data"] = (ROOT / profile.corpus).parent
    for name, place in places.items():
        below = Path(os.path.normpath(place))  # not resolved: a link in the project's folder is its owner's choice
        inside = below.is_relative_to(ROOT / name) and (name == "results" or below != ROOT / name)
        if not (inside or (elsewhere and place.resolve().is_relative_to(beside))):
            what = "results" if name == "results" else "an embedded corpus"
            remedy = "or give this path beside the profile, as a choice of your own"
            there = f"{place.resolve()}, which must be below {ROOT / name}"
            raise ConfigError(f"{file}: {what} in {there}; change it, {remedy}")


def _own_corpus(values: dict[str, Any]) -> dict[str, Any]:
    """Whoever names a corpus means that one, not one to be synthesised in its place."""
    return {"embedded": None, **values} if "corpus" in values else values
