"""What a report's page lets one hear and compare: the runs' readings, utterance by utterance, and sounds of a few."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.audio import loudness_gains
from jointlib.corpora.batches import Data, load_data
from jointlib.runs.card import model_card
from jointlib.runs.comparisons import BEST
from jointlib.runs.folder import title
from jointlib.runs.pages import in_html
from jointlib.runs.run import load_run
from jointlib.runs.wanted import data_changes
from jointlib.strategies import STRATEGIES, Classifier, Enhancer
from jointlib.support.files import UnusableFile, read_json

EXAMPLES = 5  # utterances


def choose_examples(plan: pd.DataFrame, count: int = EXAMPLES) -> list[int]:
    """Rows of a contamination plan with the most noise, of different noise types as far as there are any."""
    loudest = plan.reset_index(drop=True).sort_values("snr_db", kind="stable")
    turn = loudest.groupby(["snr_db", "noise_type"]).cumcount()
    return loudest.assign(turn=turn).sort_values(["snr_db", "turn"], kind="stable").index[:count].tolist()


def page_data(config: Config, runs: pd.DataFrame, scores: Mapping[Path, pd.DataFrame]) -> dict[str, Any]:
    """What the page's script shows, as plain values: utterances, examples, and every run's readings, PESQ and sounds.

    `runs` as of `folder.list_runs`, in the order of the page; `scores` of each, by its folder. Only the first seed of a
    cell has sounds. UnusableFile: a run that was made with other speech or noise than lie there now.
    """
    data = load_data(config.replace(device="cpu"))
    described, rows = data.described("test"), choose_examples(data.plan("test"))
    for folder in runs.folder:
        if found := data_changes(read_json(folder / "config.json"), data.identity):
            raise UnusableFile(f"{folder}: made with other data ({found}); bring that back, or move the run away")
    heard = runs.drop_duplicates(["strategy", "alpha"]).folder.tolist()
    sounds = _sounds(data, rows, heard)
    intents = sorted(set(described.intent).union(*(own.predicted for own in scores.values() if "predicted" in own)))
    found = [
        {
            "title": f"{title(run.strategy, run.alpha)}, seed {run.seed}",
            "name": run.folder.name,
            "card": in_html(model_card(run.folder)),
            "heard": run.folder in heard,
            "enhanced": sounds.get(run.folder),
            **_readings(scores[run.folder], intents),
        }
        for run in runs.itertuples()
    ]
    utterances = described.drop(columns="path").to_dict("list")
    utterances["pesq"] = _plain(scores[runs.folder[0]].pesq_wb_noisy)
    examples = {"rows": rows, "noisy": sounds["noisy"], "clean": sounds["clean"]}
    return {
        "utterances": utterances,
        "examples": examples,
        "intents": intents,
        "runs": found,
        "opening": _opening(runs),
    }


def _opening(runs: pd.DataFrame) -> list[int]:
    """The places of the two runs that are compared first: JT and the model that has both; without those, the first and
    the last that classify, of those with a front-end if there are several."""
    parts = [(name, STRATEGIES[name].network) for name in runs.strategy]
    classify = [place for place, (_, network) in enumerate(parts) if network is not Enhancer]
    both = [place for place in classify if parts[place][1] is not Classifier]
    shown = [next((place for place in both if parts[place][0] == name), None) for name in ("jt", BEST)]
    chosen = next((some for some in (both, classify) if len(some) > 1), both or classify or [0])
    return shown if None not in shown else [chosen[0], chosen[-1]]


def _readings(scores: pd.DataFrame, intents: list[str]) -> dict[str, Any]:
    """A run's readings as places in `intents`, their probabilities, and PESQ; None where it has no part for it."""
    place = {intent: number for number, intent in enumerate(intents)}
    read, enhanced = "predicted" in scores, "pesq_wb_enhanced" in scores
    return {
        "read": scores.predicted.map(place).tolist() if read else None,
        "probability": _plain(scores.probability) if read else None,
        "pesq": _plain(scores.pesq_wb_enhanced) if enhanced else None,
    }


def _plain(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 2) for value in values]


def _sounds(data: Data, rows: list[int], folders: list[Path]) -> dict[Any, list[str]]:
    """Examples as addresses that hold FLAC, by "noisy", "clean" and the folder of each run that enhances; all versions
    of an utterance at one loudness."""
    examples = [data.example(row) for row in rows]
    waves: list[dict[Any, Tensor]] = [{"noisy": example.noisy, "clean": example.clean} for example in examples]
    for folder in folders:
        run = load_run(folder)
        for example, versions in zip(examples, waves, strict=True):
            enhanced, _ = run.process(getattr(example, run.config.tested_on), level_db=None)
            if enhanced is not None:
                versions[folder] = enhanced
    found: dict[Any, list[str]] = {name: [] for name in waves[0]}
    for versions in waves:
        gains = loudness_gains(versions)
        for name, wave in versions.items():
            found[name].append(_flac(gains[name] * wave))
    return found


def _flac(wave: Tensor) -> str:
    content = io.BytesIO()
    soundfile.write(content, wave.numpy(), SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    return f"data:audio/flac;base64,{base64.b64encode(content.getvalue()).decode()}"
