"""A run's folder: its path, its content, and whether it is the requested run. Nothing is unpickled."""

import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from jointlib.config import CHECKOUT, Config, ConfigError, identity
from jointlib.strategies import STRATEGIES
from jointlib.support.checkpoint import CHECKPOINT
from jointlib.support.files import UnusableFile, read_json

SCORES = ("config.json", "metrics.json", "record.json", "history.csv", "per_utterance.csv", "per_passage.csv")
FILES = (*SCORES, "weights.safetensors")
SHIPPED = CHECKOUT / "results/reference/quick/runs"  # trained models that come with the repository
OF_THE_TEST = {"snr_db_test", "noise_types_test"}  # parameters that no training depends on
_PACKAGES = ("torch", "torchaudio", "numpy", "pandas", "pesq", "pystoi", "soundfile")


def run_folder(config: Config) -> Path:
    """The folder of a finished run; until then it is NAME.partial beside it."""
    return config.folder / "runs" / config.run_name


def finished(folder: Path) -> bool:
    """Whether a folder holds all files of a run."""
    return all((folder / name).is_file() for name in FILES)


def changes(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The entries of `wanted` that differ from a run's config.json, each as a text.

    config.json holds what decides a run's numbers: `config.identity`, and `Data.identity` of speech, labels and noise.
    """
    words = []
    for name, value in wanted.items():
        there = stored.get(name)
        if name == "intents":
            for intent in sorted(set(value) ^ set(there or ())):
                words.append(f"intent {intent!r} is {'new' if intent in value else 'gone'}")
        elif name == "content":  # a digest of the speech of each split and of each folder of noises
            differing = [part for part, digest in value.items() if (there or {}).get(part) != digest]
            words += [f"{part.replace('_', ' of ')} has changed" for part in differing]
        elif there != value:
            words.append(f"{name}: {there!r} there, {value!r} now")
    return words


def check_identity(folder: Path, config: Config, data: Mapping[str, Any] | None = None) -> None:
    """Raise FileExistsError, which names the changes, if a folder holds a run of another configuration or data."""
    if found := changes(read_json(folder / "config.json"), {**identity(config), **(data or {})}):
        remedy = "undo the change, move the folder away to train anew, or give the new run a profile of its own"
        raise FileExistsError(f"{folder} was made with another configuration or data ({'; '.join(found)}): {remedy}")


def check_place(config: Config, data: Mapping[str, Any] | None = None) -> None:
    """Raise FileExistsError if a run's folder, finished or partial, holds anything but this run."""
    folder = run_folder(config)
    work = Path(f"{folder}.partial")
    if finished(folder):
        check_identity(folder, config, data)
    elif folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: not a finished run, but not empty; move it away to train anew")
    elif (work / "config.json").exists():
        check_identity(work, config, data)
    elif any((work / name).exists() for name in (*FILES, CHECKPOINT)):
        raise FileExistsError(f"{work}: config.json is missing, so its parameters are unknown; move it away")


def trained_before(config: Config, data: Mapping[str, Any]) -> Path | None:
    """A finished run that differs only in the test conditions, and thus has this run's weights; None without one."""
    wanted = {name: value for name, value in {**identity(config), **data}.items() if name not in OF_THE_TEST}
    wanted["content"] = {part: digest for part, digest in data["content"].items() if not part.endswith("_test")}
    for other in sorted(run_folder(config).parent.glob(f"{config.replace(variant='').run_name}*")):
        if other.suffix != ".partial" and finished(other) and not changes(read_json(other / "config.json"), wanted):
            return other
    return None


def commit() -> str | None:
    """The checkout's commit, with ``-dirty`` where files were changed; None without git or outside a repository."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12"]
    if not (CHECKOUT / ".git").exists():  # a repository around an installed package has commits of something else
        return None
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return None


def environment(config: Config) -> dict[str, Any]:
    """Commit, versions and machine that a run is made with."""
    device = config.torch_device
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}",
        "threads": torch.get_num_threads(),
    }


def read_config(folder: Path) -> tuple[Config, list[str]]:
    """The configuration and the intents of a run; UnusableFile: config.json is not of this version of jointlib."""
    file = folder / "config.json"
    values = read_json(file, "intents", "content", "origins")
    intents = values.pop("intents")
    del values["content"], values["origins"]
    try:
        return Config(**values), intents
    except ConfigError as error:
        raise UnusableFile(f"{file}: {error}; was it written by another version of jointlib?") from error


def load_weights(model: nn.Module, folder: Path, assign: bool = False) -> None:
    """Load a run's weights into a network; `assign` replaces its tensors. UnusableFile: damaged, or of other sizes."""
    file = folder / "weights.safetensors"
    try:
        model.load_state_dict(load_file(file), assign=assign)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UnusableFile(f"{file}: damaged, or does not fit config.json ({reason}); copy the run again") from error


def list_runs(results: Path | str) -> pd.DataFrame:
    """A profile's finished runs, even without weights: folder, strategy, alpha, seed, variant, and `cost`.

    UnusableFile: a folder is not named after its run, such as a copy, which would count twice.
    """
    names, rows = ["strategy", "alpha", "seed", "variant"], []
    folders = [file.parent for file in sorted(Path(results, "runs").glob("*/config.json"))]
    for folder in [folder for folder in folders if folder.suffix != ".partial"]:
        config, _ = read_config(folder)
        if folder.name != config.run_name:
            raise UnusableFile(f"{folder}: holds {config.run_name}; give it that name, or move it out of runs")
        rows.append({"folder": folder, **{name: getattr(config, name) for name in names}, **cost(folder)})
    return pd.DataFrame(rows, columns=None if rows else ["folder", *names])


def cost(folder: Path) -> dict[str, float]:
    """The cost of a run and of all that initialise it: passes (epochs), core_seconds; and its number of parameters."""
    values = read_json(folder / "record.json", "trainings", "parameters")
    trainings = values["trainings"].values()
    summed = {name: sum(training[name] for training in trainings) for name in ("passes", "core_seconds")}
    return summed | {"parameters": values["parameters"]}


def own_or_shipped(config: Config, name: str) -> Path:
    """The folder of a profile's run; for quick, that of the shipped run of this name unless you have trained it."""
    own, shipped = config.folder / "runs" / name, SHIPPED / name
    return shipped if config.profile == "quick" and finished(shipped) and not finished(own) else own


def titled_runs(results: Path | str) -> tuple[dict[str, Path], list[str]]:
    """The finished runs of every profile below a results folder, and the shipped ones, by title, such as
    ``JT, α = 0.5, seed 0 · quick``; and a text for each that cannot be used, as from another version of jointlib."""
    titles, problems = {}, []
    for folder in sorted(filter(finished, [*Path(results).glob("*/runs/*"), *SHIPPED.glob("*")])):
        try:
            config, _ = read_config(folder)
        except UnusableFile as error:
            problems.append(str(error))
        else:
            where = "shipped" if folder.parent == SHIPPED else folder.parents[1].name
            rest = folder.name.removeprefix(config.replace(variant="").run_name).strip("_")  # variant, or of a copy
            place = f"{where} · {rest}" if rest else where
            titles[f"{title(config.strategy, config.alpha)}, seed {config.seed} · {place}"] = folder
    return titles, problems


def title(strategy: str, alpha: float | None = None) -> str:
    """A strategy's name in tables and sentences, with alpha if one is given and is a parameter of it: ``JT, α = 0.5``;
    "noisy" is the unprocessed input."""
    if strategy == "noisy":
        return "Noisy, unprocessed"
    row = STRATEGIES[strategy]
    return row.title if alpha is None or row.alpha is not None else f"{row.title}, α = {alpha:g}"
