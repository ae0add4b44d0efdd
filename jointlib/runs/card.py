"""A model card of a run: what it was made of and from, what it scores, and where it ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.runs.folder import read_config, read_metrics, title
from jointlib.runs.intervals import interval
from jointlib.runs.measures import MEASURES
from jointlib.runs.scores import failed_metrics, read_run
from jointlib.strategies import JT, STRATEGIES, Classifier
from jointlib.support.files import read_json, write_atomically

CARD = "card.md"


def origin(config: Config) -> str:
    """Where speech and noise of a configuration come from, and what may be done with them."""
    if config.embedded is None:
        return (
            f"Speech from `{config.corpus}` and noise from `{config.noise}`, the user's own. Their owners' licences "
            "hold for whatever contains their audio, such as pages with sounds: Fluent Speech Commands is for academic "
            "research only and may not be passed on; MS-SNSD's noises have Creative Commons licences."
        )
    made = config.embedded.utterances
    speech = (
        f"Synthesised here: {sum(made.values()):,} spoken commands by espeak-ng ({_of_splits(made)} in train / valid / "
        f"test, by {_of_splits(config.embedded.speakers)} voices)"
    )
    if not config.synthesises_noise:
        return (
            f"{speech}. Noise from `{config.noise}`, the user's own; its owners' licences hold for whatever contains "
            "their audio: MS-SNSD's noises have Creative Commons licences."
        )
    return (
        f"{speech}, and noises by formula. No person was recorded and no data set was downloaded, so no licence of a "
        "data set applies; espeak-ng itself is free software (GPL 3)."
    )


def _of_splits(numbers: dict[str, int]) -> str:
    return " / ".join(f"{numbers[split]:,}" for split in ("train", "valid", "test"))


def model_card(folder: Path) -> str:
    """The model card of a finished run's folder, as Markdown: data, training, size, scores with 95 % intervals over
    speakers, and limits.

    It is derived from the run's files, and no part of the run, which is whole without one, or with an old one.
    UnusableFile: a file of the run that cannot be read.
    """
    config, intents = read_config(folder)
    scores, metrics, record = read_run(folder), read_metrics(folder), read_json(folder / "record.json", "commit")
    sections = {
        "Data": _data(config),
        "Training": _training(folder, config, record),
        "Size": _size(config, record, len(intents)),
        "Scores": _scores(scores),
        "Limits": _limits(config, scores, metrics, len(intents)),
    }
    text = "\n\n".join(f"## {name}\n\n{content}" for name, content in sections.items())
    return f"# {title(config.strategy, config.alpha)}, seed {config.seed}\n\n{text}\n"


def write_card(folder: Path) -> None:
    """Write card.md of a finished run; raises what `model_card` does."""
    write_atomically(folder / CARD, model_card(folder).encode())


def _data(config: Config) -> str:
    levels = ", ".join(f"{snr:g}" for snr in config.snr_db_test or config.snr_db)
    shown = f"{config.clip_seconds:g} s at {SAMPLE_RATE / 1000:g} kHz"
    tested = f", with noise added at an SNR of {levels} dB" if config.tested_on == "noisy" else ""
    return f"{origin(config)} Clips of {shown}; tested on {config.tested_on} speech{tested}."


def _training(folder: Path, config: Config, record: dict[str, Any]) -> str:
    origins = read_json(folder / "config.json")["origins"]
    cost = record["trainings"].values()
    lines = [
        f"profile {config.profile}{f', {config.variant}' if config.variant else ''}",
        f"{config.steps:,} optimiser steps of {config.batch_size} utterances in all, shared by the trainings that it "
        f"is made of: {', '.join(record['trainings'])}",
        f"{sum(part['passes'] for part in cost):.3g} passes over the utterances, "
        f"{sum(part['core_seconds'] for part in cost) / 60:.1f} core-minutes",
        f"{config.optimizer}, learning rate {config.learning_rate:g}, {config.schedule}; on {config.trained_on} speech",
    ]
    if STRATEGIES[config.strategy].network is not Classifier:
        terms = ", ".join(f"{weight:g} x {term}" for term, weight in config.enhancement_loss.items())
        lines.append(f"loss: {config.alpha:g} x ({terms}) + {1 - config.alpha:g} x cross-entropy")
    lines += [f"the {part} starts from {name}" for part, name in origins.items()]
    made_with = f"commit {record['commit'] or 'unknown'}, torch {record['versions']['torch']}, {record['device']}"
    return "\n".join(f"- {line}" for line in [*lines, made_with])


def _size(config: Config, record: dict[str, Any], classes: int) -> str:
    row = STRATEGIES[config.strategy]
    parts = [] if row.network is Classifier else [f"a front-end ({config.enhances_by})"]
    if row.network is Classifier or row.alpha != 1:  # 1: nothing is left for a classification
        parts.append(f"a classifier of {classes} intents (temporal convolutional network)")
    return f"{record['parameters']:,} parameters: {' and '.join(parts)}."


def _scores(scores: pd.DataFrame) -> str:
    lines = ["| measure | mean [95 % interval] | noisy input |", "|---|---|---|"]
    for metric, measure in MEASURES.items():
        if metric in scores:
            form = measure.form
            mean, low, high = interval(scores[metric], scores.speaker, scores.seed)
            bounds = "" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
            noisy = metric.replace("_enhanced", "_noisy")
            before = f"{scores[noisy].mean():{form}}" if noisy != metric else "–"
            lines.append(f"| {measure.head} | {mean:{form}}{bounds} | {before} |")
    number = f"{len(scores):,} test utterances of {scores.speaker.nunique()} speakers; the intervals are over speakers."
    return "\n".join([*lines, "", number])


def _limits(config: Config, scores: pd.DataFrame, metrics: dict[str, Any], classes: int) -> str:
    lines = [metrics["remark"]] if metrics["remark"] else []
    for by, form in (("snr_db", "at {} dB SNR"), ("noise_type", "in {}")):
        read = {key: means["correct"] for key, means in metrics[f"by_{by}"].items() if "correct" in means}
        if len(read) > 1:
            worst = min(read, key=read.__getitem__)
            lines.append(f"least accurate {form.format(worst.removesuffix('.0'))}: {read[worst]:.3f}")
    if issubclass(STRATEGIES[config.strategy].network, JT):
        lines.append("the classifier reads the enhanced wave, whose level may differ from the input's")
    if "correct" in scores:
        lines.append(f"it always answers with one of its {classes} intents, even where the speech means none of them")
    lines += [f"not computed: {line}" for line in failed_metrics(scores)]
    if config.embedded is not None:
        lines.append("trained and tested on synthetic speech; not measured on recorded speech")
    lines.append("one training: the intervals cover the choice of speakers, not of the seed")
    return "\n".join(f"- {line}" for line in lines)
