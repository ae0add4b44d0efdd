"""fit(config): one run, trained, evaluated and written. Interrupted and started again, it ends the same."""

import json
import math
import re
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock
from safetensors.torch import save
from torch import nn

from jointlib.config import Config, identity, load_config, parent_of, read_settings
from jointlib.corpora.batches import Data, load_data
from jointlib.evaluate import evaluate, summarise
from jointlib.fast_cpu.swap import fast_cpu, keep_freed_memory
from jointlib.fast_gpu import fast_gpu
from jointlib.runs.folder import (
    CHECKPOINT,
    FILES,
    check_identity,
    check_place,
    device_name,
    environment,
    finished,
    partial_folder,
    read_metrics,
    run_folder,
    title,
)
from jointlib.runs.run import build_network, load_run, save_memory
from jointlib.runs.scores import score_once
from jointlib.strategies import STRATEGIES, Observed, freeze, parents
from jointlib.support.command import command, command_line
from jointlib.support.files import read_json, remove_partial, write_atomically, write_csv, write_json
from jointlib.train import Checkpoint, choose_observation, train

EXAMPLE = "example:\n  jointlib train --profile quick --strategy jt --alpha 0.1 --set steps=300 'snr_db=[0, 5]'"


def fit(config: Config, data: Data | None = None) -> Path:
    """Train and evaluate one run, unless it is there already, and return its folder.

    What it starts from (separately trained parts) is trained first. Everything is written to ``NAME.partial``, with a
    checkpoint at every validation; started again, it goes on from there, and the folder is renamed when it is complete.
    A second process that wants the same run waits for the first.

    Raises FileExistsError: the folder holds a run of another configuration or other data, or something that is no run.
    Raises UnusableFile: a damaged checkpoint or config.json, which stays as it is.
    Raises CorpusError, FileNotFoundError, FloatingPointError: as `load_data` and `train`.
    Raises OSError: the results folder cannot be written (full, read-only); what was there is as it was.
    """
    folder = run_folder(config)
    check_place(config)  # before anything is read
    data = load_data(config) if data is None else replace(data, config=config)
    if not finished(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parents[1] / f".{folder.name}.lock"):
            if not finished(folder):  # no other process has made it in the meantime
                _make(data, folder)
    check_identity(folder, config, data.identity)
    return folder


def _make(data: Data, folder: Path) -> None:
    """All of a run, in a folder of another name until it is complete."""
    config, work = data.config, partial_folder(folder)
    check_place(config, data.identity)
    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    work.mkdir(exist_ok=True)
    remove_partial(work, "|".join(map(re.escape, (*FILES, CHECKPOINT))))
    if not finished(work):  # whole but for its name, if the last process was killed just then
        _train_and_evaluate(data, work)
    (work / CHECKPOINT).unlink(missing_ok=True)
    work.replace(folder)


def _train_and_evaluate(data: Data, folder: Path) -> None:
    config, started, intents = data.config, time.time(), data.corpus.intents
    wanted = parents(STRATEGIES[config.strategy], config.init)
    origins = {part: fit(parent_of(config, parent), data) for part, parent in wanted.items()}
    model = _initial_model(config, len(intents), origins)
    about = {"profile": config.profile, "variant": config.variant, **data.identity}
    about |= {"origins": {part: origin.name for part, origin in origins.items()}}
    write_json(folder / "config.json", identity(config) | about)
    weights, history = model.state_dict(), []
    checkpoint = Checkpoint(folder / CHECKPOINT)
    if any(parameter.requires_grad for parameter in model.parameters()):
        name = f"{title(config.strategy, config.alpha)}, seed {config.seed}, on {device_name(config)}"
        weights, history = train(model, data, config, checkpoint, name)
        model.load_state_dict(weights)
    elif isinstance(model, Observed):
        history = choose_observation(model, data, config)
    described = data.described("test")
    found = evaluate(
        model, data.batches("test"), intents, described.speaker, config.tested_on, partial(score_once, config)
    )
    per_utterance = pd.concat([described, found.per_utterance], axis=1)
    write_csv(folder / "history.csv", pd.DataFrame(history, columns=None if history else ["step"]))
    write_csv(folder / "per_utterance.csv", per_utterance)
    write_csv(folder / "per_passage.csv", found.per_passage)
    write_atomically(folder / "weights.safetensors", save({name: w.contiguous() for name, w in weights.items()}))
    write_json(folder / "metrics.json", summarise(per_utterance, found.per_passage))
    made_of: dict[str, Any] = {}
    for origin in origins.values():
        made_of |= read_json(origin / "record.json", "trainings")["trainings"]
    if steps := history[-1]["step"] if history else 0:
        passes = steps / math.ceil(len(data.corpus.split("train")) / config.batch_size)
        made_of[config.run_name] = {"passes": round(passes, 3), "core_seconds": round(checkpoint.core_seconds, 1)}
    record = {"seed": config.seed, "seconds_since_last_start": round(time.time() - started, 1), "trainings": made_of}
    record |= {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    write_json(folder / "record.json", record | environment(config))


def _initial_model(config: Config, classes: int, origins: Mapping[str, Path]) -> nn.Module:
    """The network before training, its parts taken from finished runs where `origins` names one."""
    torch.manual_seed(config.seed)
    model = build_network(config, classes)
    for part, origin in origins.items():
        getattr(model, part).load_state_dict(getattr(load_run(origin).model, part).state_dict())
    freeze(model, STRATEGIES[config.strategy].frozen)
    if config.checkpointing:
        save_memory(model)
    swap = fast_cpu if config.torch_device.type == "cpu" else fast_gpu
    return swap(model).to(config.torch_device)


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib train``."""
    parser = command_line("train", "Train and evaluate one run, and print its folder.", f"{EXAMPLE}\n\n{_fields()}")
    parser.add_argument("--profile", help="a profile's name, or the path of a YAML file (default: quick)")
    parser.add_argument("--strategy", help=f"{', '.join(STRATEGIES)} (default: the profile's)")
    parser.add_argument(
        "--alpha", type=float, help="weight of enhancement in the loss, 0 to 1 (default: the profile's)"
    )
    parser.add_argument("--seed", type=int, help="(default: the profile's)")
    parser.add_argument("--set", nargs="+", action="extend", metavar="NAME=VALUE", help="any other field, see below")
    given = vars(parser.parse_args(arguments))
    folder = fit(load_config(**read_settings(given.pop("set", []), given)))
    if remark := read_metrics(folder)["remark"]:
        print(f"The classifier has learnt nothing: {remark}", file=sys.stderr)
    print(folder)


def _fields() -> str:
    """What ``--set`` takes beside the options, with the defaults of Config in YAML."""
    others = {"profile", "variant", "strategy", "alpha", "seed", "strategies", "alphas", "seeds"}  # the last: a grid's
    plain, compact = Config(profile="plain"), json.JSONEncoder(separators=(",", ":")).encode
    values = {name: getattr(plain, name) for name in Config.model_fields if name not in others}
    pairs = [f"{name}={value if isinstance(value, str) else compact(value)}" for name, value in values.items()]
    lines = textwrap.wrap("  ".join(pairs), 100, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(["fields for --set, as published (a profile may set others):", *lines])
