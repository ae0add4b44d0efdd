"""fit(config): one run, trained, evaluated and written. Interrupted and started again, it ends the same."""

import json
import math
import re
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from jointlib.fast.cpu import fast_cpu, keep_freed_memory
from jointlib.fast.gpu import fast_gpu
from jointlib.runs.card import CARD, write_card
from jointlib.runs.evaluate import evaluate, summarise
from jointlib.runs.folder import (
    CHECKPOINT,
    FILES,
    device_name,
    environment,
    finished,
    partial_folder,
    read_metrics,
    read_weights,
    run_folder,
    title,
)
from jointlib.runs.run import build_network, load_run, save_memory
from jointlib.runs.scores import score_once
from jointlib.runs.wanted import check_identity, check_place, trained_before
from jointlib.strategies import STRATEGIES, Observed, freeze, parents
from jointlib.support.checkpoint import Checkpoint
from jointlib.support.command import command, command_line
from jointlib.support.files import read_json, remove_partial, write_atomically, write_csv, write_json
from jointlib.support.ranks import agreed, in_turn, is_first, processes, together
from jointlib.train import choose_observation, train

EXAMPLE = "example:\n  jointlib train --profile quick --strategy jt --alpha 0.1 --set steps=300 'snr_db=[0, 5]'"


def fit(config: Config, data: Data | None = None) -> Path:
    """Train and evaluate one run, unless it is there already, and return its folder.

    What it starts from (separately trained parts) is trained first. Everything is written to ``NAME.partial``, with a
    checkpoint at every validation; started again, it goes on from there, and the folder is renamed when it is complete.
    A second process that wants the same run waits for the first; those of torchrun make it together. A run that differs
    from a finished one in the test only has its weights, and is evaluated.

    Raises FileExistsError: the folder holds a run of another configuration or other data, or something that is no run.
    Raises UnusableFile: a damaged checkpoint or config.json, which stays as it is.
    Raises CorpusError, FileNotFoundError, FloatingPointError: as `load_data` and `train`.
    Raises OSError: the results folder cannot be written (full, read-only); what was there is as it was.
    """
    folder = run_folder(config)
    check_place(config)  # before anything is read
    with in_turn():
        data = load_data(config) if data is None else replace(data, config=config)
    if agreed(not finished(folder)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parents[1] / f".{folder.name}.lock") if is_first() else nullcontext():
            if agreed(not finished(folder)):  # no other process has made it in the meantime
                _make(data, folder)
    with in_turn():  # the others wait until all is written
        check_identity(folder, config, data.identity)
    return folder


def _make(data: Data, folder: Path) -> None:
    """All of a run, in a folder of another name until it is complete."""
    config, work = data.config, partial_folder(folder)
    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with in_turn():
        check_place(config, data.identity)
        work.mkdir(exist_ok=True)
        if is_first():
            remove_partial(work, "|".join(map(re.escape, (*FILES, CHECKPOINT, CARD))))
    if agreed(not finished(work)):  # whole but for its name, if the last process was killed just then
        _train_and_evaluate(data, work)
    if is_first():
        (work / CHECKPOINT).unlink(missing_ok=True)
        write_card(work)
        work.replace(folder)


def _train_and_evaluate(data: Data, folder: Path) -> None:
    config, started = data.config, time.time()
    wanted = parents(STRATEGIES[config.strategy], config.init)
    origins = {part: fit(parent_of(config, parent), data) for part, parent in wanted.items()}
    model = _initial_model(config, len(data.corpus.intents), origins)
    about = {"profile": config.profile, "variant": config.variant, **data.identity}
    about |= {"origins": {part: origin.name for part, origin in origins.items()}}
    if is_first():
        write_json(folder / "config.json", identity(config) | about)
    twin = trained_before(config, data.identity)
    if agreed(twin is not None):
        record = _take_over(model, twin, folder) if is_first() else {}
    else:
        record = {"trainings": _train(model, data, folder, origins)}
    if is_first():
        _evaluate(model, data, folder)
        record |= {"seed": config.seed, "seconds_since_last_start": round(time.time() - started, 1)}
        record |= {"parameters": sum(parameter.numel() for parameter in model.parameters()), "processes": processes()}
        write_json(folder / "record.json", record | environment(config))


def _take_over(model: nn.Module, twin: Path, folder: Path) -> dict[str, Any]:
    """A twin's weights into the model and its history.csv into the folder; what of its record stays true."""
    model.load_state_dict(read_weights(twin, model.state_dict()))
    write_atomically(folder / "history.csv", (twin / "history.csv").read_bytes())
    made = read_json(twin / "record.json", "trainings", "commit")
    return {"trainings": made["trainings"], "weights_from": made.get("weights_from") or {twin.name: made["commit"]}}


def _train(model: nn.Module, data: Data, folder: Path, origins: Mapping[str, Path]) -> dict[str, Any]:
    """Leave the selected weights in the model and history.csv in the folder; what all trainings behind it cost."""
    config, checkpoint, history = data.config, Checkpoint(folder / CHECKPOINT), []
    if any(parameter.requires_grad for parameter in model.parameters()):
        name = f"{title(config.strategy, config.alpha)}, seed {config.seed}, on {device_name(config)}"
        weights, history = train(model, data, config, checkpoint, name)
        model.load_state_dict(weights)
    elif isinstance(model, Observed):
        history = choose_observation(model, data, config)
    if is_first():
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=None if history else ["step"]))
    made_of: dict[str, Any] = {}
    for origin in origins.values():
        made_of |= read_json(origin / "record.json", "trainings")["trainings"]
    if steps := history[-1]["step"] if history else 0:
        passes = steps / math.ceil(len(data.corpus.split("train")) / config.batch_size)
        made_of[config.run_name] = {"passes": round(passes, 3), "core_seconds": round(checkpoint.core_seconds, 1)}
    return made_of


def _evaluate(model: nn.Module, data: Data, folder: Path) -> None:
    """Test the model, and write its scores and its weights."""
    described, config = data.described("test"), data.config
    found = evaluate(
        model,
        data.batches("test"),
        data.corpus.intents,
        described.speaker,
        config.tested_on,
        partial(score_once, config),
    )
    per_utterance = pd.concat([described, found.per_utterance], axis=1)
    write_csv(folder / "per_utterance.csv", per_utterance)
    write_csv(folder / "per_passage.csv", found.per_passage)
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    write_atomically(folder / "weights.safetensors", save(weights))
    write_json(folder / "metrics.json", summarise(per_utterance, found.per_passage))


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
    with together():
        folder = fit(load_config(**read_settings(given.pop("set", []), given)))
        if is_first():
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
