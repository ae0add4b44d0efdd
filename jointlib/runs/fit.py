"""fit(config): train, evaluate and write one run. An interrupted run resumes and gives the same result."""

import math
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save
from torch import nn

from jointlib.config import Config, identity, parent_of
from jointlib.corpora.batches import Data, load_data
from jointlib.runs.evaluate import evaluate, summarise
from jointlib.runs.folder import check_place, environment, finished, load_weights, run_folder, title, trained_before
from jointlib.runs.run import build_network, load_run
from jointlib.strategies import freeze, parents
from jointlib.support.checkpoint import CHECKPOINT, Checkpoint
from jointlib.support.files import locked, read_json, write_atomically, write_csv, write_json
from jointlib.support.memory import keep_freed_memory
from jointlib.support.progress import Progress
from jointlib.support.ranks import is_first, on_first, parallel, processes
from jointlib.train import train


def fit(config: Config, data: Data | None = None) -> Path:
    """Train and evaluate one run, unless it is there already, and return its folder.

    The runs that initialise it are made first. Everything is written to ``NAME.partial``, with a checkpoint at every
    validation; started again, training resumes there, and the folder is renamed when it is complete. A second process
    that wants the same run waits for the first; the processes of torchrun make it together. A run that differs from a
    finished one only in the test conditions takes its weights and is evaluated.

    Raises FileExistsError: the folder holds a run of another configuration or other data, or something that is no run.
    Raises UnusableFile: a damaged checkpoint or config.json, which stays as it is.
    Raises CorpusError, FileNotFoundError, FloatingPointError: as `load_data` and `train`.
    Raises OSError: the results folder cannot be written (full, read-only); its files are unchanged.
    """
    folder = run_folder(config)
    check_place(config)  # before anything is read
    data = load_data(config) if data is None else replace(data, config=config)
    if not on_first(lambda: finished(folder)):  # a finished run needs no lock, so that it may be read-only
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.parents[1] / f".{folder.name}.lock"
        with locked(lock, f"it trains and evaluates {folder.name}") if is_first() else nullcontext():
            if not on_first(lambda: finished(folder)):  # another process may have made it in the meantime
                _make(data, folder)
    on_first(lambda: check_place(config, data.identity))
    return folder


def _make(data: Data, folder: Path) -> None:
    """Make a run in its partial folder, and rename that when it is complete."""
    config, work, started = data.config, Path(f"{folder}.partial"), time.time()
    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    on_first(lambda: check_place(config, data.identity))
    work.mkdir(exist_ok=True)
    cut = data.corpus.cut(config.clip_seconds)
    for warning in filter(None, [cut, _slow_precision(config)] if is_first() else []):
        print(f"Warning: {warning}", file=sys.stderr)
    wanted = parents(config.row, config.init)
    origins = {part: fit(parent_of(config, name), data) for part, name in wanted.items()}
    model = _initial_model(config, len(data.corpus.intents), origins)
    if is_first():
        about = {"profile": config.profile, "variant": config.variant}
        about["origins"] = {part: origin.name for part, origin in origins.items()}
        write_json(work / "config.json", identity(config) | data.identity | about)
    if twin := on_first(lambda: trained_before(config, data.identity)):
        load_weights(model, twin)
        about_training = {"trainings": read_json(twin / "record.json")["trainings"], "weights_from": twin.name}
        if is_first():
            write_atomically(work / "history.csv", (twin / "history.csv").read_bytes())
    else:
        about_training = {"trainings": _train(model, data, work, origins)}
    if is_first():
        per_utterance, per_passage = evaluate(model, data)
        write_csv(work / "per_utterance.csv", per_utterance)
        write_csv(work / "per_passage.csv", per_passage)
        write_json(work / "metrics.json", summarise(per_utterance, per_passage))
        weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
        write_atomically(work / "weights.safetensors", save(weights))
        about_run = {"seed": config.seed, "seconds_since_last_start": round(time.time() - started, 1)}
        about_run |= {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        about_run |= {"processes": processes(), "cut": cut, **environment(config)}
        write_json(work / "record.json", about_training | about_run)
        work.replace(folder)
        (folder / CHECKPOINT).unlink(missing_ok=True)


def _slow_precision(config: Config) -> str:
    """What to say of a CPU without instructions for bfloat16, on which BN of `paper` took 25 times as long."""
    has_them = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not config.bf16 or config.torch_device.type != "cpu" or has_them:
        return ""
    return "this CPU emulates bfloat16, which may take 25 times as long as float32; set bf16 to False (--bf16 False)"


def _initial_model(config: Config, classes: int, origins: Mapping[str, Path]) -> nn.Module:
    """The initial network; the parts in `origins` have the weights of finished runs."""
    torch.manual_seed(config.seed)
    model = build_network(config, classes)
    for part, origin in origins.items():
        parts = dict(load_run(origin).model.named_children())  # a network of one part may name it differently
        source = parts[part] if len(parts) > 1 else next(iter(parts.values()))
        getattr(model, part).load_state_dict(source.state_dict())
    freeze(model, config.row.frozen)
    return model.to(config.torch_device)


def _train(model: nn.Module, data: Data, work: Path, origins: Mapping[str, Path]) -> dict[str, Any]:
    """Train, load the selected weights into the model, and write history.csv; return the cost of every training that
    the run consists of, by name."""
    config, checkpoint, history = data.config, Checkpoint(work / CHECKPOINT), []
    trainings: dict[str, Any] = {}
    for origin in origins.values():
        trainings |= read_json(origin / "record.json", "trainings")["trainings"]
    if any(parameter.requires_grad for parameter in model.parameters()):
        name = f"{title(config.strategy, config.alpha)}, seed {config.seed}, on {config.torch_device}"
        progress = partial(Progress, config.own_steps, name)
        weights, history = train(model, data, config, checkpoint, progress, parallel(model), on_first)
        model.load_state_dict(weights)
        epochs = history[-1]["step"] / math.ceil((data.corpus.manifest.split == "train").sum() / config.batch_size)
        cost = {"passes": round(epochs, 3), "core_seconds": round(checkpoint.core_seconds * processes(), 1)}
        trainings[config.run_name] = cost
    if is_first():
        write_csv(work / "history.csv", pd.DataFrame(history, columns=None if history else ["step"]))
    return trainings
