"""Tables 2 to 5 of the paper from finished runs, each value with its interval and the published one beside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from jointlib.config import Config
from jointlib.corpora.batches import Data
from jointlib.runs.comparisons import (
    compare_cells,
    dominance,
    one_change_at_a_time,
    pairs_of_interest,
    published,
    shown,
    verdicts,
)
from jointlib.runs.folder import title
from jointlib.runs.intervals import cells, noisy_cell, on_noise
from jointlib.runs.measures import MEASURES, measure_of
from jointlib.runs.scores import read_passages, read_scores, remarks
from jointlib.strategies import STRATEGIES
from jointlib.support.files import write_atomically, write_csv

ALPHAS = (0.0, 0.1, 0.5, 0.9)  # the paper's
STEM = "TCN stem on the wave"


class PaperTable(NamedTuple):
    """One of the paper's tables: caption, our column in per_utterance.csv, number format, and its rows."""

    caption: str
    metric: str
    form: str
    rows: tuple[str, ...] = ("noisy", "jt", "bn", "bn_mix")


TABLES = {
    2: PaperTable("Intent classification accuracy", "correct", ".3f", ("noisy", "jt_clean", "jt", "bn", "bn_mix")),
    3: PaperTable("PESQ, wide band (MOS)", "pesq_wb_enhanced", ".2f"),
    4: PaperTable("STOI", "stoi_enhanced", ".2f"),
    5: PaperTable("MSE", "mse_enhanced", ".1e"),
}
_OVERVIEW = ("correct", "correct_on_clean", "pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")
_QUALITY = ("pesq_wb_enhanced", "stoi_enhanced", "estoi_enhanced", "si_sdr_enhanced", "lsd_enhanced", "mse_enhanced")


def compare(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> pd.DataFrame:
    """A paper table in long form: table, strategy, alpha, published, and the columns of `intervals.cells`."""
    metric = TABLES[number].metric
    ours = pd.concat([noisy_cell(scores, metric, classifier), cells(scores, metric)])
    theirs = published().query("table == @number").rename(columns={"value": "published"})
    return theirs.merge(ours, on=["strategy", "alpha"], how="left").drop(columns="metric")


def paper_table(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> pd.DataFrame:
    """A table as in the paper, a column an alpha: "ours [95 % interval] (published)"; † is explained by `legend`."""
    table = TABLES[number]
    columns = [f"alpha = {alpha:g}" for alpha in ALPHAS]
    layout = pd.DataFrame("", index=[_title(row) for row in table.rows], columns=columns)
    for row in compare(scores, number, classifier).itertuples():
        ours = "not run" if np.isnan(row.value) else _with_bounds(row, table.form, table.metric)
        theirs = "–" if np.isnan(row.published) else f"{row.published:{table.form}}"
        alpha = ALPHAS[0] if np.isnan(row.alpha) else row.alpha
        layout.loc[_title(row.strategy), f"alpha = {alpha:g}"] = f"{ours} ({theirs})"
    return layout.rename_axis(table.caption)


def overview(scores: pd.DataFrame) -> pd.DataFrame:
    """Noisy speech as it is, and every strategy that was run: accuracy on noisy and on clean speech, quality, and what
    a run cost on average, with all that it started from."""
    grouped = scores.groupby(["strategy", "alpha"])
    mean = grouped[["passes", "core_seconds", "parameters"]].mean()
    shown = {
        "seeds": grouped.seed.nunique().map(str),
        "passes": mean.passes.map("{:.3g}".format),
        "core-minutes": (mean.core_seconds / 60).map("{:.1f}".format),
        "parameters": (mean.parameters / 1000).map("{:,.0f} k".format),
    }
    keys = pd.MultiIndex.from_tuples([_row(*key)[1:] for key in mean.index], names=["strategy", "alpha"])
    return _table(scores, _OVERVIEW).join(pd.DataFrame(shown).set_axis(keys)).fillna("–")


def quality_table(scores: pd.DataFrame, passages: pd.DataFrame) -> pd.DataFrame:
    """Measures of quality of every row and, last, PESQ of each speaker's utterances joined to passages of 8 s."""
    longer = passages.assign(path=passages.index.map(str), correct=np.nan)
    return _table(scores, _QUALITY).join(_table(longer, _QUALITY[:1]).set_axis(["PESQ of 8 s"], axis=1))


def means(scores: pd.DataFrame, by: str, metrics: Iterable[str]) -> pd.DataFrame:
    """The means of columns of per_utterance.csv by `snr_db`, or by `noise_type` with the lowest of the first on top."""
    found = scores.groupby(by)[list(metrics)].mean().dropna(axis=1, how="all")
    found = found.sort_values(list(found) if by == "noise_type" else by)
    speech = {"noisy": ", noisy", "enhanced": ", enhanced"}
    shown = {}
    for name, column in found.items():
        measure = measure_of(name)
        head = measure.head + speech.get(name.rpartition("_")[2], "")
        shown[head] = column.map(f"{{:z{measure.form}}}".format)  # z: no -0.0
    return pd.DataFrame(shown, index=found.index).rename_axis({"snr_db": "SNR (dB)", "noise_type": "noise"}[by])


def changes(steps: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.one_change_at_a_time` as it is shown: small p values with two digits, where rounding gives 0."""
    rows = []
    for step in steps.to_dict("records"):
        p = ["–" if np.isnan(step["low"]) else f"{step[name]:.2g}" for name in ("p", "p_holm")]  # one test speaker
        label = MEASURES[step["metric"]].label
        rows.append((label, step["first"], step["second"], shown(step, step["metric"]), *p))
    return pd.DataFrame(rows, columns=["measure", "strategy", "against", "difference [95 % interval]", "p", "p (Holm)"])


def generalisation(scores: pd.DataFrame, data: Data, metric: str = "correct") -> pd.DataFrame:
    """A column of per_utterance.csv, a quality as gain over the noisy input, by what training has met of an utterance:
    its noise type, an SNR in the range, its wording. A row a condition and its opposite, where both occur in the test
    split; a column a strategy that is tested on noisy speech."""
    scores = on_noise(scores)
    test = scores.drop_duplicates("path")
    if metric.endswith("_enhanced"):
        scores = scores.assign(**{metric: scores[metric] - scores[metric.replace("_enhanced", "_noisy")]})
    rows = {}
    for name, unmet in held_back(scores, data).items():
        for label, chosen in ((f"{name} met in training", ~unmet), (f"{name} not met", unmet)):
            found = cells(scores[chosen], metric)
            titles = [title(row.strategy, row.alpha) for row in found.itertuples()]
            number = int(chosen[test.index].sum())
            shown = [_with_bounds(row, ".2f", metric) for row in found.itertuples()]
            rows[label] = {"utterances": number, **dict(zip(titles, shown, strict=True))}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("in the test split")


def held_back(scores: pd.DataFrame, data: Data) -> dict[str, pd.Series]:
    """Of noise type, SNR and wording those of which the test split holds some that training has met and some that it
    has not: which rows of the scores are of the latter."""
    train = data.plan("train")
    conditions = {
        "noise type": ~scores.noise_type.isin(data.noises["train"].manifest.type),
        "SNR": ~scores.snr_db.between(train.snr_db.min(), train.snr_db.max()),
        "wording": ~scores.transcription.isin(data.corpus.manifest.transcription[train.utterance]),
    }
    return {name: unmet for name, unmet in conditions.items() if unmet.any() and not unmet.all()}


def _table(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A row for noisy speech and for every strategy and alpha that was run; a column a metric, without a value where a
    strategy is tested on clean speech. Noisy speech is on top, the others follow by the first column that they have,
    best first."""
    rows: dict[tuple[int, str, str], dict[str, str]] = {}
    rank: dict[tuple[int, str, str], tuple[bool, int, float]] = {}
    for place, metric in enumerate(metrics):
        form = MEASURES[metric].form
        noisy = [noisy_cell(scores, metric)] if metric.endswith("_enhanced") else []
        own = scores if metric == "correct_on_clean" else on_noise(scores)
        for row in pd.concat([*noisy, cells(own, metric)]).itertuples():
            rows.setdefault(key := _row(row.strategy, row.alpha), {})[metric] = _with_bounds(row, form, metric)
            rank.setdefault(key, (row.strategy != "noisy", place, -row.value))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=metrics).fillna("–")
    table = table.loc[sorted(rows, key=lambda key: (rank[key], key))]
    table.index = pd.MultiIndex.from_tuples([key[1:] for key in table.index], names=["strategy", "alpha"])
    return table.rename(columns={metric: MEASURES[metric].head for metric in metrics})


def _row(strategy: str, alpha: float) -> tuple[int, str, str]:
    """Place, title and alpha of a row; without alpha where the strategy has its own."""
    own = strategy == "noisy" or STRATEGIES[strategy].alpha is not None
    return ["noisy", *STRATEGIES].index(strategy), _title(strategy), "" if own else f"{alpha:g}"


def _title(strategy: str) -> str:
    return "Noisy, unprocessed" if strategy == "noisy" else STRATEGIES[strategy].title


def _with_bounds(row: Any, form: str, metric: str) -> str:
    """A value, its mark, and its interval, which a single speaker does not have."""
    mark = " †" if row.guessing and metric.startswith("correct") else ""
    bounds = "" if np.isnan(row.low) else f" [{row.low:{form}}, {row.high:{form}}]"
    return f"{row.value:{form}}{mark}{bounds}"


def legend(scores: pd.DataFrame) -> str:
    """What the dagger stands for, run by run, as Markdown; empty where every classifier has learnt something."""
    lines = [f"- {run}: {words}" for run, words in remarks(scores).items()]
    return "\n".join(["† A classifier that has learnt nothing:", "", *lines]) if lines else ""


def differences(config: Config, classifier: str = "classifier_clean") -> pd.DataFrame:
    """What differs between the paper's set-up and a profile's, line by line; `classifier` reads the row "Noisy"."""
    embedded, stem = config.embedded is not None, config.stem
    warm = "; ".join(row.title for row in STRATEGIES.values() if row.pretrained and row.published)
    starts = {"scratch": "scratch", "pretrained": f"a classifier of clean speech ({warm}); scratch (all others)"}
    here = dict(config) | {
        "start": starts[config.init],
        "speech": "synthetic speech (espeak-ng)" if embedded else "from the folder",
        "noises": "synthesised" if config.synthesises_noise else "from the folder",
        "snrs": _trained_and_tested(config.snr_db, config.snr_db_test),
        "noise_types": _trained_and_tested(config.noise_types_train or ["all"], config.noise_types_test or ["all"]),
        "row_noisy": f"trained on {STRATEGIES[classifier].train_input} speech",
        "filterbank": "learned filterbank, {} samples every {}, {} bands".format(*stem) if stem else "none",
        "seed_list": ", ".join(map(str, config.seeds)),
    }
    lines = yaml.safe_load(Path(__file__).with_name("setup.yaml").read_text())
    rows = [(name, paper, ours.format_map(here)) for name, paper, ours in lines]
    return pd.DataFrame(rows, columns=["", "paper", "here"]).set_index("")


def _trained_and_tested(train: Sequence[Any], test: Sequence[Any] | None) -> str:
    """What training meets, and the test where that is another."""
    texts = [
        ", ".join(f"{value:g}" if isinstance(value, float) else value for value in some)
        for some in (train, test or train)
    ]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} in training; {texts[1]} in the test"


def write_tables(config: Config, target: Path) -> None:
    """Write tables.csv (long form) and comparisons.csv, and every table of notebooks 4 and 7 as Markdown."""
    scores = read_scores(config)
    target.mkdir(parents=True, exist_ok=True)
    write_csv(target / "tables.csv", pd.concat([compare(scores, number) for number in TABLES]))
    sections = []
    for number, table in TABLES.items():
        sections.append(f"**Table {number}. {table.caption}**\n\n{paper_table(scores, number).to_markdown()}\n")
    sections.append(f"In front of the classifier on the wave: {differences(config).loc[STEM, 'here']}.\n")
    sections += [f"{legend(scores)}\n"] if legend(scores) else []
    write_atomically(target / "tables.md", "\n".join(sections).encode())
    quality = quality_table(scores, read_passages(config))
    pages = {"overview": overview(scores).reset_index(), "quality": quality.reset_index(), "verdicts": verdicts(scores)}
    pages |= {"dominance": dominance(scores), "changes": changes(one_change_at_a_time(scores))}
    for name, table in pages.items():
        write_atomically(target / f"{name}.md", (table.to_markdown(index=False) + "\n").encode())
    write_csv(target / "comparisons.csv", compare_cells(scores, pairs_of_interest(scores)))
