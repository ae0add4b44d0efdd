"""A notebook's parameters, as its cell, papermill or a script sets them."""

from collections.abc import MutableMapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import create_model

import jointlib
from jointlib.config import PROFILES, Config, ConfigError, load_config, unknown
from jointlib.config.values import Parameters
from jointlib.corpora.batches import load_data

LITERALS = (bool, int, float, str, list, tuple, dict, type(None))  # types of a parameter's value
Row = Annotated[int | None, "row of the test plan"]


def read_parameters(scope: MutableMapping[str, Any], **own: Any) -> Config:
    """Return a notebook's Config, given its ``globals()`` and the types of its `own` parameters, converted in place.

    Strings are converted, since ``papermill -p`` passes nothing else: "[0, 5]" is a list, "false" a boolean. A single
    value for a list becomes its only entry. None leaves a parameter to the profile, unless None is one of its values
    (``STEM = None``). Names bound by later cells (classes, constants of jointlib, tensors, tables) are no parameters
    when the notebook runs again. Raises ConfigError: no profile; a parameter that is unknown or in another case; an own
    parameter of another type; a `Row` outside the test plan.
    """
    kinds = {name.upper(): entry.annotation for name, entry in Config.model_fields.items()} | own
    for name in () if "config" in scope else list(scope):  # in a second run there are names of later cells
        if name not in kinds and (meant := get_close_matches(name.upper(), kinds, n=1, cutoff=0.85)):
            raise ConfigError(f"unknown parameter {name!r}: did you mean {meant[0]}?")
    if scope.get("PROFILE") is None:
        raise ConfigError(f"PROFILE is missing: it is one of {', '.join(PROFILES)}, or the path of a YAML file")
    for name in kinds.keys() & scope.keys():
        if isinstance(scope[name], str) and scope[name].startswith(("[", "{")) and kinds[name] is not str:
            with suppress(yaml.YAMLError):
                scope[name] = yaml.safe_load(scope[name])
        if name in own and get_origin(kinds[name]) is list and not isinstance(scope[name], list):
            scope[name] = [scope[name]]
    model = create_model("Own", __base__=Parameters, **{name: (kind, ...) for name, kind in own.items()})
    scope.update(model(**{name: scope[name] for name in own}))
    given = {name: value for name, value in scope.items() if name.isupper() and name not in own}
    for name in given.keys() - kinds.keys():
        if isinstance(given.pop(name), LITERALS) and not hasattr(jointlib, name):
            raise ConfigError(unknown("parameter", name, kinds))
    chosen = [name for name, value in given.items() if value is not None or type(None) in get_args(kinds[name])]
    config = load_config(**{name.lower(): given[name] for name in chosen})
    for name in [name for name, kind in own.items() if kind is Row and scope[name] is not None]:
        rows = len(load_data(config).plan("test"))
        if not 0 <= scope[name] < rows:
            raise ConfigError(f"{name}={scope[name]}: the test plan has rows 0 to {rows - 1}")
    return config
