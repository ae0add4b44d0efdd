"""A run folder: what belongs there, what it was made with; read with distrust, never executed."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from jointlib.config import ROOT, Config, ConfigError, identity
from jointlib.strategies import STRATEGIES
from jointlib.support.files import UnusableFile, read_json

FILES = ("config.json", "metrics.json", "record.json", "history.csv", "per_utterance.csv", "per_passage.csv")
FILES = (*FILES, "weights.safetensors")
# What config.json holds: a run's identity, where it comes from, and what its classifier tells apart.
STORED = {name for name, entry in Config.model_fields.items() if not entry.exclude}
STORED |= {"profile", "variant", "origins", "intents"}
_PACKAGES = ("torch", "torchaudio", "numpy", "pandas", "pesq", "pystoi", "soundfile")


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
    gpu = config.torch_device.type == "cuda"
    return {
        "commit": commit.stdout.strip() or "not a git checkout",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(config.torch_device) if gpu else f"CPU, {platform.machine()}",
        "threads": torch.get_num_threads(),
    }


def check_identity(folder: Path, config: Config) -> None:
    """Raise FileExistsError if a folder, finished or not, was trained with another configuration."""
    stored, wanted = read_json(folder / "config.json"), identity(config)
    if differing := [name for name in wanted if stored.get(name) != wanted[name]]:
        both = "; ".join(f"{name}: {stored.get(name)!r} there, {wanted[name]!r} now" for name in differing)
        remedy = "remove it, or give the new one a profile of its own"
        raise FileExistsError(f"{folder} was made with another configuration ({both}); {remedy}")


def read_config(folder: Path) -> tuple[Config, list[str]]:
    """The configuration of a run, and its classifier's intents; UnusableFile names what cannot be."""
    file = folder / "config.json"
    values = read_json(file)
    if differing := sorted(set(values) ^ STORED):
        raise UnusableFile(f"{file}: unknown or missing {differing}; was it written by another version of jointlib?")
    intents = values.pop("intents")
    if not (isinstance(intents, list) and intents and all(isinstance(intent, str) for intent in intents)):
        raise UnusableFile(f"{file}: intents: expected a list of names, found {intents!r:.80}")
    try:
        return Config(**{name: value for name, value in values.items() if name != "origins"}), intents
    except ConfigError as error:
        raise UnusableFile(f"{file}: {error}") from error


def read_weights(folder: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weights.safetensors of a run; UnusableFile unless it holds finite numbers of the types of `wanted`."""
    file = folder / "weights.safetensors"
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise UnusableFile(f"{file}: not readable as safetensors ({error})") from error
    for name, value in weights.items():
        if name in wanted and value.dtype != wanted[name].dtype:
            raise UnusableFile(f"{file}: {name} is {value.dtype}; expected {wanted[name].dtype}")
        if not value.isfinite().all():
            raise UnusableFile(f"{file}: {name} holds values that are not finite numbers")
    return weights


def list_runs(results: Path | str) -> pd.DataFrame:
    """The finished runs below a profile's results folder: folder, strategy, alpha, seed, variant, remark, metrics, and
    what training cost, with all that the run started from: passes over the utterances, core_seconds, parameters."""
    names, rows = ["strategy", "alpha", "seed", "variant"], []
    for folder in sorted(path for path in Path(results, "runs").glob("*") if finished(path)):
        (config, _), metrics = read_config(folder), read_json(folder / "metrics.json")
        about = {name: getattr(config, name) for name in names} | {"remark": metrics["remark"]}
        rows.append({"folder": folder, **about, **metrics["mean"], **cost(folder)})
    return pd.DataFrame(rows, columns=None if rows else ["folder", *names])


def cost(folder: Path) -> dict[str, float]:
    """What a run and all that it started from cost: passes over the utterances, core_seconds, and its parameters."""
    record = read_json(folder / "record.json")
    trainings = record["trainings"].values()
    summed = {name: sum(training[name] for training in trainings) for name in ("passes", "core_seconds")}
    return summed | {"parameters": record["parameters"]}


def titled_runs(results: Path | str) -> dict[str, Path]:
    """The finished runs of every profile below a results folder, by title: ``JT, α = 0.5, seed 0 · quick``."""
    titles = {}
    for folder in sorted(path for path in Path(results).glob("*/runs/*") if finished(path)):
        config, _ = read_config(folder)
        place = " · ".join([folder.parents[1].name, *filter(None, [config.variant])])
        titles[f"{title(config.strategy, config.alpha)}, seed {config.seed} · {place}"] = folder
    return titles


def title(strategy: str, alpha: float) -> str:
    """How a cell of the grid is named: ``JT, α = 0.5``; without alpha where the strategy has its own."""
    row = STRATEGIES[strategy]
    return row.title if row.alpha is not None else f"{row.title}, α = {alpha:g}"
