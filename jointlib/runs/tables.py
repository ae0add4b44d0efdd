"""Tables 2 to 5 of the paper from finished runs, each value with its interval and the published one beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib.config import ROOT, Config
from jointlib.runs.scores import cells, noisy_cell, read_scores, remarks
from jointlib.strategies import STRATEGIES
from jointlib.support.files import write_atomically, write_csv

ALPHAS = (0.0, 0.1, 0.5, 0.9)  # the paper's


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables: caption, our column in per_utterance.csv, number format, and its rows."""

    caption: str
    metric: str
    form: str
    rows: tuple[str, ...]


STEM = "TCN stem on the wave"
_ROWS = ("noisy", "jt", "bn", "bn_mix")
TABLES = {
    2: PaperTable("Intent classification accuracy", "correct", "{:.3f}", ("noisy", "jt_clean", *_ROWS[1:])),
    3: PaperTable("PESQ, wide band (MOS)", "pesq_wb_enhanced", "{:.2f}", _ROWS),
    4: PaperTable("STOI", "stoi_enhanced", "{:.2f}", _ROWS),
    5: PaperTable("MSE", "mse_enhanced", "{:.1e}", _ROWS),
}


def published() -> pd.DataFrame:
    """The paper's Tables 2 to 5: table, metric, strategy, alpha, value (NaN where the paper prints a dash)."""
    return pd.read_csv(ROOT / "results/published/tables.csv")


def compare(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> pd.DataFrame:
    """A paper table in long form: table, strategy, alpha, published, value, low, high, seeds, utterances."""
    table = TABLES[number]
    ours = pd.concat([noisy_cell(scores, table.metric, classifier), cells(scores, table.metric)])
    theirs = published().query("table == @number").rename(columns={"value": "published"})
    merged = theirs.merge(ours, on=["strategy", "alpha"], how="left")
    return merged.drop(columns="metric")


def paper_table(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> pd.DataFrame:
    """A table in the paper's layout: a row a strategy, a column an alpha; "ours [95 % interval] (published)"."""
    table, long = TABLES[number], compare(scores, number, classifier)
    columns = [f"alpha = {alpha:g}" for alpha in ALPHAS]
    layout = pd.DataFrame("", index=[_title(row) for row in table.rows], columns=columns)
    for row in long.itertuples():
        alphas = ALPHAS[:1] if np.isnan(row.alpha) else (row.alpha,)
        for alpha in alphas:
            layout.loc[_title(row.strategy), f"alpha = {alpha:g}"] = _cell(row, table.form)
    return layout.rename_axis(table.caption)


def _title(strategy: str) -> str:
    return "Noisy, unprocessed" if strategy == "noisy" else STRATEGIES[strategy].title


def _cell(row, form: str) -> str:
    ours = "not run" if np.isnan(row.value) else _with_bounds(row, form)
    return f"{ours} ({'–' if np.isnan(row.published) else form.format(row.published)})"


def _with_bounds(row, form: str, mark: bool = True) -> str:
    """A value with its interval, which one speaker does not have; marked where the classifier only guesses."""
    bounds = "" if np.isnan(row.low) else f" [{form.format(row.low)}, {form.format(row.high)}]"
    return f"{form.format(row.value)}{' †' if mark and row.guessing is True else ''}{bounds}"


def legend(scores: pd.DataFrame) -> str:
    """What the mark † stands for, run by run; empty where there is none."""
    found = remarks(scores)
    lines = [f"- {run}: {words}" for run, words in found.items()]
    return "\n".join(["† a classifier that has learnt nothing:", "", *lines]) if lines else ""


def overview(scores: pd.DataFrame) -> pd.DataFrame:
    """Noisy speech as it is, and every strategy that was run: accuracy on noisy and on clean speech, and quality."""
    columns = {
        "accuracy": ("correct", "{:.3f}"),
        "accuracy on clean": ("correct_on_clean", "{:.3f}"),
        "PESQ (MOS)": ("pesq_wb_enhanced", "{:.2f}"),
        "STOI": ("stoi_enhanced", "{:.2f}"),
        "SI-SDR (dB)": ("si_sdr_enhanced", "{:.1f}"),
        "MSE": ("mse_enhanced", "{:.1e}"),
    }
    rows: dict[tuple[int, str, str], dict[str, str]] = {}
    for name, (metric, form) in columns.items():
        found = cells(scores, metric)
        if metric.endswith("_enhanced"):
            found = pd.concat([noisy_cell(scores, metric), found])
        for row in found.itertuples():
            place = ["noisy", *STRATEGIES].index(row.strategy)
            key = (place, _title(row.strategy), "" if np.isnan(row.alpha) else f"{row.alpha:g}")
            rows.setdefault(key, {})[name] = _with_bounds(row, form, metric.startswith("correct"))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).sort_index().fillna("–")
    table.index = pd.MultiIndex.from_tuples([key[1:] for key in table.index], names=["strategy", "alpha"])
    return table


def differences(config: Config) -> pd.DataFrame:
    """What differs between the paper's set-up and a profile's, line by line."""
    unknown = "not stated"
    voices = "synthetic speech (espeak-ng)" if config.embedded is not None else "from the folder named below"
    stem = "none" if config.stem is None else "learned filterbank, {} samples every {}, {} bands".format(*config.stem)
    lines = [
        ("speech", "Fluent Speech Commands, recorded", f"{voices}: {config.corpus}"),
        (
            "noise",
            "MS-SNSD, recorded",
            f"{'synthesised' if config.embedded is not None else 'from the folder'}: {config.noise}",
        ),
        ("SNR (dB)", unknown, f"{', '.join(f'{snr:g}' for snr in config.snr_db)}; mixer {config.mixer}"),
        ("clip (s)", "4, in the authors' closest code", f"{config.clip_seconds:g}"),
        ("Wave-U-Net", "12 layers x 24 channels", f"{config.frontend_layers} layers x {config.frontend_channels}"),
        (STEM, unknown, stem),
        ("BN-Mix convolution", unknown, f"{config.mix_channels} channels, window and stride of the bottleneck"),
        ("optimiser", unknown, f"{config.optimizer}, rate {config.learning_rate:g}, {config.schedule}"),
        ("steps, batch", unknown, f"at most {config.steps}, patience {config.patience}; {config.batch_size}"),
        ("starts from", "scratch", config.init),
        ("seeds", unknown, ", ".join(map(str, config.seeds))),
        ("PESQ band", unknown, "wide (narrow in per_utterance.csv)"),
        ('"Noisy" classifier', "clean or noisy speech: not stated", "trained on clean speech"),
    ]
    return pd.DataFrame(lines, columns=["", "paper", "here"]).set_index("")


def write_tables(config: Config, target: Path) -> None:
    """Write tables.csv (long form), tables.md and overview.md of a profile's runs into a folder."""
    scores = read_scores(config.folder, config.variant)
    target.mkdir(parents=True, exist_ok=True)
    write_csv(target / "tables.csv", pd.concat([compare(scores, number) for number in TABLES]))
    sections = [
        f"**Table {number}. {TABLES[number].caption}**\n\n{paper_table(scores, number).to_markdown()}\n"
        for number in TABLES
    ]
    sections.append(f"In front of the classifier on the wave: {differences(config).loc[STEM, 'here']}.\n")
    sections += [f"{legend(scores)}\n"] if legend(scores) else []
    write_atomically(target / "tables.md", "\n".join(sections).encode())
    write_atomically(target / "overview.md", (overview(scores).reset_index().to_markdown(index=False) + "\n").encode())
