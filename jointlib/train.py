"""fit(config) -> a run folder. One loop for every strategy; interrupted and started again, it ends the same."""

import argparse
import ctypes
import math
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile
import torch
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor, nn

from jointlib.checkpoint import Checkpoint
from jointlib.config import Config, identity, parent_of
from jointlib.corpus import CorpusError
from jointlib.data import Data, load_data
from jointlib.evaluate import evaluate, summarise
from jointlib.files import remove_partial, write_atomically, write_csv, write_json
from jointlib.profile import load_config
from jointlib.progress import Progress
from jointlib.records import RunError, check_identity, environment, finished, run_folder
from jointlib.runs import build_network, load_run
from jointlib.steps import build_optimizer, is_better, train_epoch, validate
from jointlib.strategies import STRATEGIES, parents, set_training
from jointlib.values import ConfigError


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks: handing them back and faulting them in again costs a CPU run half its time."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap, whatever its size


def _initial_model(config: Config, data: Data) -> tuple[nn.Module, dict[str, str]]:
    torch.manual_seed(config.seed)
    model = build_network(identity(config), len(data.corpus.intents))
    if hasattr(model, "backend"):
        model.backend.checkpointing = config.checkpointing
    origins = {}
    for part, parent in parents(STRATEGIES[config.strategy], config.init).items():
        folder = fit(parent_of(config, parent), data)
        own = getattr(load_run(folder).model, part)
        getattr(model, part).load_state_dict(own.state_dict())
        origins[part] = folder.name
    return model.to(config.torch_device), origins


def _optimise(model: nn.Module, data: Data, folder: Path) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train until the epochs or the patience run out; returns the selected weights and the history."""
    config, strategy = data.config, STRATEGIES[data.config.strategy]
    best, history = {name: value.clone() for name, value in model.state_dict().items()}, []
    if not any(parameter.requires_grad for parameter in set_training(model, strategy.frozen).parameters()):
        return best, history
    optimizer, checkpoint = build_optimizer(model, config), Checkpoint(folder / "checkpoint.safetensors")
    if checkpoint.file.exists():
        best, history = checkpoint.load(model, optimizer)
    steps = math.ceil(len(data.corpus.split("train")) / config.batch_size)
    valid_plan = data.plan("valid")
    title = f"{strategy.title} alpha={config.alpha:g} seed={config.seed}"
    with Progress(config.epochs * steps, title, done=len(history) * steps) as progress:
        for epoch in range(len(history), config.epochs):
            best_row = max((row for row in history if row["selected"]), key=lambda row: row["epoch"], default=None)
            if best_row is not None and epoch - best_row["epoch"] > config.patience:
                break
            try:
                row: dict[str, Any] = {"epoch": epoch, **train_epoch(model, data, optimizer, epoch, progress)}
                row |= {f"valid_{name}": value for name, value in validate(model, data, valid_plan).items()}
            except FloatingPointError as error:
                kept = f"{checkpoint.file}, after epoch {epoch - 1}" if history else "none yet"
                where = f"epoch {epoch}, learning rate {optimizer.param_groups[0]['lr']:.4g}"
                remedy = "lower learning_rate or clip_norm, or look at the utterances"
                raise FloatingPointError(f"{where}, {error}. Last good checkpoint: {kept}. Remedy: {remedy}") from error
            row["selected"] = is_better(row, best_row, config)
            if row["selected"]:
                best = {name: value.clone() for name, value in model.state_dict().items()}
            history.append(row)
            checkpoint.save(model, best, optimizer, history)
            progress.advance(0, " ".join(f"{name[6:]} {row[name]:.3g}" for name in row if name.startswith("valid_")))
    return best, history


def fit(config: Config, data: Data | None = None) -> Path:
    """Train and evaluate one run, unless it is there already, and return its folder.

    What it starts from (separately trained parts) is trained first. Everything is written to ``NAME.partial``, with a
    checkpoint after every epoch; started again, it goes on from there, and the folder is renamed when it is complete.
    A second process that wants the same run waits for the first.

    Raises:
        FileExistsError: the folder holds a run of another configuration.
        CorpusError, FileNotFoundError: as `load_data`.
        FloatingPointError: loss or gradient is no longer a finite number; names the batch's utterances, the learning
            rate and the last good checkpoint.
        OSError: the results folder cannot be written (full, read-only); what was there is as it was.
    """
    folder = run_folder(config)
    if finished(folder):
        check_identity(folder, config)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parents[1] / f".{folder.name}.lock"):
        if finished(folder):  # by another process, in the meantime
            check_identity(folder, config)
            return folder
        keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        data = load_data(config) if data is None else replace(data, config=config)
        partial = folder.with_name(f"{folder.name}.partial")
        if (partial / "config.json").exists():
            check_identity(partial, config)
        partial.mkdir(exist_ok=True)
        remove_partial(partial)
        if not finished(partial):  # whole but for its name, if the last process was killed just then
            _run(data, partial)
        (partial / "checkpoint.safetensors").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def _run(data: Data, folder: Path) -> None:
    """Train, evaluate, and write all that belongs to a run."""
    config, started = data.config, time.time()
    model, origins = _initial_model(config, data)
    about = {"variant": config.variant, "profile": config.profile, "origins": origins, "intents": data.corpus.intents}
    write_json(folder / "config.json", identity(config) | about)
    best, history = _optimise(model, data, folder)
    model.load_state_dict(best)
    per_utterance = evaluate(model, data)
    write_csv(folder / "history.csv", pd.DataFrame(history, columns=None if history else ["epoch"]))
    write_csv(folder / "per_utterance.csv", per_utterance)
    write_atomically(folder / "weights.safetensors", save({name: value.contiguous() for name, value in best.items()}))
    write_json(folder / "metrics.json", summarise(per_utterance))
    seconds = round(time.time() - started, 1)
    record = {"seed": config.seed, "seconds_since_last_start": seconds, **environment(config)}
    write_json(folder / "record.json", record)


def main(arguments: list[str] | None = None) -> None:
    """``python -m jointlib.train --profile quick --strategy jt --alpha 0.5 --seed 0 [--set NAME=VALUE ...]``."""
    import yaml

    parser = argparse.ArgumentParser(prog="python -m jointlib.train", description="Train and evaluate one run.")
    parser.add_argument("--profile", default="quick", help="a profile's name, or the path of a YAML file")
    parser.add_argument("--strategy", default="jt", help=", ".join(STRATEGIES))
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the MSE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="any other field of Config")
    given = parser.parse_args(arguments)
    try:
        others = {name: yaml.safe_load(value) for name, _, value in (entry.partition("=") for entry in given.set)}
        config = load_config(given.profile, strategy=given.strategy, alpha=given.alpha, seed=given.seed, **others)
        print(fit(config))
    except (ConfigError, CorpusError, RunError, FloatingPointError, OSError, soundfile.SoundFileError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    main()
