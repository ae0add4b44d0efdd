"""A run folder: what belongs there, what it was made with; read with distrust, never executed."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from jointlib.config import Config, ConfigError
from jointlib.strategies import STRATEGIES
from jointlib.support.commit import commit
from jointlib.support.files import UnusableFile, read_json

FILES = ("config.json", "metrics.json", "record.json", "history.csv", "per_utterance.csv", "per_passage.csv")
FILES = (*FILES, "weights.safetensors")
CHECKPOINT = "checkpoint.safetensors"  # in a partial folder
# What config.json holds: a run's identity, where it comes from, and what it was trained and tested on.
STORED = {name for name, entry in Config.model_fields.items() if not entry.exclude}
STORED |= {"profile", "variant", "origins", "intents", "content"}
_PACKAGES = ("torch", "torchaudio", "numpy", "pandas", "pesq", "pystoi", "soundfile")


def run_folder(config: Config) -> Path:
    """Where a run lies when it is finished."""
    return config.folder / "runs" / config.run_name


def partial_folder(folder: Path) -> Path:
    """Where a run lies until it is finished."""
    return folder.with_name(f"{folder.name}.partial")


def finished(folder: Path) -> bool:
    """Whether a folder holds a whole run."""
    return all((folder / name).is_file() for name in FILES)


def device_name(config: Config) -> str:
    """What a run is computed on, as its maker calls it."""
    device = config.torch_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"


def environment(config: Config) -> dict[str, Any]:
    """Commit, versions and machine that a run was made with."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": device_name(config),
        "threads": torch.get_num_threads(),
    }


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
        return Config(**{name: value for name, value in values.items() if name not in ("origins", "content")}), intents
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
    what training cost, with all that the run started from: passes over the utterances, core_seconds, parameters.

    UnusableFile: a run that lacks a file or was damaged, or a folder that does not have its run's name.
    """
    names, rows = ["strategy", "alpha", "seed", "variant"], []
    for folder in sorted(path for path in Path(results, "runs").glob("*") if path.suffix != ".partial"):
        missing = [name for name in FILES if not (folder / name).is_file()]
        if len(missing) == len(FILES):
            continue  # nothing of ours
        if missing:
            raise UnusableFile(f"{folder}: a run that lacks {', '.join(missing)}; move it away, or copy it again")
        (config, _), metrics = read_config(folder), read_metrics(folder)
        if folder.name != config.run_name:
            held = f"{config.run_name}; give it that name, or move it out of runs"
            raise UnusableFile(f"{folder}: holds, by its config.json, {held}")
        about = {name: getattr(config, name) for name in names} | {"remark": metrics["remark"]}
        rows.append({"folder": folder, **about, **metrics["mean"], **cost(folder)})
    return pd.DataFrame(rows, columns=None if rows else ["folder", *names])


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of a run; UnusableFile if it is none."""
    return read_json(folder / "metrics.json", "utterances", "mean", "remark", "passages")


def cost(folder: Path) -> dict[str, float]:
    """What a run and all that it started from cost: passes over the utterances, core_seconds, and its parameters."""
    record = read_json(folder / "record.json", "trainings", "parameters")
    trainings = record["trainings"].values()
    summed = {name: sum(training[name] for training in trainings) for name in ("passes", "core_seconds")}
    return summed | {"parameters": record["parameters"]}


def titled_runs(results: Path | str) -> tuple[dict[str, Path], list[str]]:
    """The finished runs of every profile below a results folder, by title: ``JT, α = 0.5, seed 0 · quick``; and why
    some of them cannot be used, as those that another version has made."""
    titles, problems = {}, []
    for folder in sorted(path for path in Path(results).glob("*/runs/*") if finished(path)):
        try:
            config, _ = read_config(folder)
        except UnusableFile as error:
            problems.append(str(error))
            continue
        copied = "" if folder.name == config.run_name else folder.name  # beside the run that it is a copy of
        place = " · ".join([folder.parents[1].name, *filter(None, [config.variant, copied])])
        titles[f"{title(config.strategy, config.alpha)}, seed {config.seed} · {place}"] = folder
    return titles, problems


def title(strategy: str, alpha: float) -> str:
    """How a cell of the grid is named: ``JT, α = 0.5``; without alpha where the strategy has its own."""
    row = STRATEGIES[strategy]
    return row.title if row.alpha is not None else f"{row.title}, α = {alpha:g}"
