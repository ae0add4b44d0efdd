"""The files of a run folder: what belongs there, what it was made with; read with distrust, never executed."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from jointlib.config import NOT_OF_A_RUN, ROOT, Config, identity
from jointlib.values import ConfigError

FILES = ("config.json", "metrics.json", "record.json", "history.csv", "per_utterance.csv", "weights.safetensors")
_PACKAGES = ("torch", "torchaudio", "numpy", "pandas", "pesq", "pystoi", "soundfile")


class RunError(ValueError):
    """A file of a run folder that cannot be used: which one, what is wrong with it, what would be right."""


def run_folder(config: Config) -> Path:
    """Where a run lies when it is finished."""
    return config.folder / "runs" / config.run_name


def finished(folder: Path) -> bool:
    """Whether a folder holds a whole run."""
    return all((folder / name).is_file() for name in FILES)


def environment(config: Config) -> dict[str, Any]:
    """Commit, versions and machine that a run was made with."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False)
    device = config.torch_device
    return {
        "commit": commit.stdout.strip() or "not a git checkout",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}",
        "threads": torch.get_num_threads(),
    }


def check_identity(folder: Path, config: Config) -> None:
    """Raise FileExistsError if a folder, finished or not, was trained with another configuration."""
    stored = read_json(folder / "config.json")
    wanted = identity(config)
    differing = [
        f"{name}: {stored.get(name)!r} there, {wanted[name]!r} now"
        for name in wanted
        if stored.get(name) != wanted[name]
    ]
    if differing:
        raise FileExistsError(
            f"{folder} was made with another configuration ({'; '.join(differing)}); remove it, "
            "or give the new one a profile of its own"
        )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file of names and values.

    Raises:
        RunError: it is none.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise RunError(f"{file}: expected an object of names and values, found {type(values).__name__}")
    return values


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a run folder: a configuration, checked as one, and variant, profile, origins and intents.

    Raises:
        RunError: names what is unknown, missing or no possible value.
    """
    file = folder / "config.json"
    values = read_json(file)
    known = {entry.name for entry in fields(Config)} - set(NOT_OF_A_RUN) | {"variant", "profile", "origins", "intents"}
    strange, missing = sorted(set(values) - known), sorted(known - set(values))
    if strange or missing:
        raise RunError(f"{file}: unknown {strange}, missing {missing}; was it written by another version of jointlib?")
    try:
        Config(**{name: value for name, value in values.items() if name not in ("variant", "origins", "intents")})
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    intents = values["intents"]
    if not (isinstance(intents, list) and intents and all(isinstance(intent, str) for intent in intents)):
        raise RunError(f"{file}: intents: expected a list of names, found {intents!r:.80}")
    return values


def read_weights(folder: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weights.safetensors of a run folder, which must have the names and shapes of `wanted` and finite values.

    Raises:
        RunError: as said.
    """
    file = folder / "weights.safetensors"
    try:
        with safe_open(file, "pt") as opened:
            shapes = {name: list(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise RunError(f"{file}: not readable as safetensors ({error})") from error
    expected = {name: list(value.shape) for name, value in wanted.items()}
    differing = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
    if differing:
        name = differing[0]
        raise RunError(
            f"{file}: does not fit config.json: {len(differing)} weight(s) differ, first {name}: "
            f"{shapes.get(name)} there, {expected.get(name)} wanted"
        )
    weights = load_file(file)
    strange = [name for name, value in weights.items() if value.dtype != wanted[name].dtype]
    if strange:
        found = weights[strange[0]].dtype
        raise RunError(f"{file}: {strange[0]} is {found}; expected {wanted[strange[0]].dtype}")
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise RunError(f"{file}: {broken[0]} holds values that are not finite numbers")
    return weights
