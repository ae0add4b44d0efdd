"""The figures, in one style; every function draws on data it is given and returns the matplotlib Figure."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from jointlib.runs.folder import title
from jointlib.runs.scores import cells, noisy_cell
from jointlib.strategies import STRATEGIES

_PALETTE = sns.color_palette("colorblind", 10)
_ORDER = [_PALETTE[place] for place in (7, 9, 8, 6, 5, 0, 4, 1, 2, 3)]
_TITLES = [row.title for row in STRATEGIES.values()]
COLOURS = dict(zip(_TITLES, cycle(_ORDER), strict=False))
MARKERS = dict(zip(_TITLES, cycle("sDvPpo*^X<>"), strict=False))
# What is tested on clean speech has no place beside accuracies on noisy speech; the frozen ones are parts of others.
_COMPARED = [name for name, row in STRATEGIES.items() if row.test_input == "noisy" and not name.endswith("_frozen")]
LABELS = {
    "correct": "accuracy",
    "pesq_wb": "PESQ, wide band (MOS)",
    "pesq_nb": "PESQ, narrow band (MOS)",
    "stoi": "STOI",
    "si_sdr": "SI-SDR (dB)",
    "mse": "MSE",
}


def use_style() -> None:
    """One look for all figures: colour-blind safe, legible at the width of a README."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=1.05)
    plt.rcParams.update({"figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titleweight": "bold"})


_CURVES = {
    "train_cross_entropy": "train cross-entropy (nat)",
    "valid_cross_entropy": "valid cross-entropy (nat)",
    "valid_mse": "valid MSE",
    "valid_accuracy": "valid accuracy",
}
_LINE = {"palette": COLOURS, "markers": MARKERS, "dashes": False, "markeredgewidth": 0}


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Train and valid cross-entropy, valid MSE and valid accuracy against the step, a line a strategy."""
    tables = [history.assign(strategy=STRATEGIES[name].title) for name, history in histories.items()]
    long = pd.concat(tables).melt(["step", "strategy"], [*_CURVES], "curve").dropna(subset="value")
    shown = [name for name in _CURVES if name in set(long.curve)]
    line = {"hue": "strategy", "style": "strategy", "hue_order": [*dict.fromkeys(long.strategy)], **_LINE}
    facets = {"sharey": False, "despine": False}
    grid = sns.relplot(
        long, kind="line", x="step", y="value", col="curve", col_order=shown, height=3.6, facet_kws=facets, **line
    )
    grid.set_titles("").set_xlabels("optimiser step")
    for name, axis in grid.axes_dict.items():
        axis.set_ylabel(_CURVES[name])
        if name == "valid_mse":
            axis.set_yscale("log")
    grid.tight_layout()
    sns.move_legend(grid, "lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, title=None)
    return grid.figure


def against_snr(
    scores: pd.DataFrame, metrics: Sequence[str] = ("correct", "pesq_wb_enhanced"), alpha: float = 0.5
) -> Figure:
    """Metrics against the SNR, a line a strategy, the joint ones at `alpha`; the noisy input in grey."""
    own = scores.strategy.map(lambda name: STRATEGIES[name].alpha is not None)
    rows = scores[scores.strategy.isin(_COMPARED) & (own | (scores.alpha == alpha))]
    rows = rows.assign(title=rows.strategy.map(lambda name: STRATEGIES[name].title))
    figure, axes = plt.subplots(1, len(metrics), figsize=(6.4 * len(metrics), 4.6))
    for axis, metric in zip(np.atleast_1d(axes), metrics, strict=True):
        known = rows.dropna(subset=metric)
        line = {"hue": "title", "style": "title", "hue_order": [*dict.fromkeys(known.title)], **_LINE}
        sns.lineplot(known, x="snr_db", y=metric, errorbar=None, ax=axis, **line)
        noisy = metric.replace("_enhanced", "_noisy")
        if noisy != metric:
            sns.lineplot(scores, x="snr_db", y=noisy, errorbar=None, color="0.4", ls="--", label="noisy input", ax=axis)
        axis.set(xlabel="SNR (dB)", ylabel=LABELS[metric.removesuffix("_enhanced")])
        axis.set_xticks(sorted(scores.snr_db.unique()))
        joint = f"joint strategies at alpha = {alpha:g}"
        axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3, frameon=False, title=joint)
    figure.tight_layout()
    return figure


def trade_off(scores: pd.DataFrame, quality: str = "pesq_wb") -> Figure:
    """Accuracy against speech quality, every cell a point with its 95 % intervals: the paper's trade-off.

    The fuller a marker of a joint strategy, the larger its alpha.
    """
    accuracy = cells(scores, "correct").set_index(["strategy", "alpha"])
    heard = cells(scores, f"{quality}_enhanced").set_index(["strategy", "alpha"])
    both = accuracy.join(heard, lsuffix="_accuracy", rsuffix="_quality", how="inner").reset_index()
    figure, axis = plt.subplots(figsize=(8.8, 5.4))
    for row in both[both.strategy.isin(_COMPARED)].itertuples():
        colour = COLOURS[STRATEGIES[row.strategy].title]
        axis.errorbar(
            row.value_quality,
            row.value_accuracy,
            xerr=[[row.value_quality - row.low_quality], [row.high_quality - row.value_quality]],
            yerr=[[row.value_accuracy - row.low_accuracy], [row.high_accuracy - row.value_accuracy]],
            fmt=MARKERS[STRATEGIES[row.strategy].title],
            color=colour,
            ms=10,
            elinewidth=0.8,
            markerfacecolor=_paler(colour, 1.0 if STRATEGIES[row.strategy].alpha is not None else row.alpha),
            label=title(row.strategy, row.alpha),
        )
    unprocessed = noisy_cell(scores, f"{quality}_enhanced").value.iloc[0]
    axis.axvline(unprocessed, color="0.4", linestyle="--", label="quality of the noisy input")
    clean = noisy_cell(scores, "correct")
    if not clean.empty:
        axis.axhline(clean.value.iloc[0], color="0.4", linestyle=":", label="classifier trained on clean")
    axis.set(xlabel=LABELS[quality], ylabel="intent accuracy on noisy speech")
    axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def _paler(colour: tuple[float, float, float], alpha: float) -> tuple[float, float, float]:
    """A colour, the paler the smaller alpha; white at 0."""
    share = 0.0 if alpha == 0 else 0.25 + 0.75 * alpha
    return tuple(1 - share * (1 - channel) for channel in colour)


def confusion(scores: pd.DataFrame, intents: Sequence[str]) -> Figure:
    """Confusion matrix of one run: rows true, columns predicted, each row a share of its utterances."""
    counts = pd.crosstab(scores.intent, scores.predicted, normalize="index")
    counts = counts.reindex(index=intents, columns=intents, fill_value=0)
    names = [intent.replace(" / none", "").replace(" / ", " ") for intent in intents]
    figure, axis = plt.subplots(figsize=(10.5, 9))
    sns.heatmap(
        counts.to_numpy(),
        xticklabels=names,
        yticklabels=names,
        cmap="rocket_r",
        vmin=0,
        vmax=1,
        square=True,
        linewidths=0.3,
        cbar_kws={"label": "share of the true intent", "shrink": 0.7},
        ax=axis,
    )
    axis.set(xlabel="predicted intent", ylabel="true intent")
    axis.tick_params(labelsize=9)
    figure.tight_layout()
    return figure


def realised_snr(plans: Mapping[str, pd.DataFrame]) -> Figure:
    """Histogram of the realised SNR, a panel a mixer."""
    figure, axes = plt.subplots(1, len(plans), figsize=(5.2 * len(plans), 3.4), sharey=True, squeeze=False)
    for axis, (mixer, plan) in zip(axes.flat, plans.items(), strict=True):
        shown = plan.assign(nominal=plan.snr_db.map("{:g}".format))
        order = [f"{value:g}" for value in sorted(plan.snr_db.unique())]
        span = (plan.realised_snr_db.min() - 0.25, plan.realised_snr_db.max() + 0.25)
        sns.histplot(
            shown,
            x="realised_snr_db",
            hue="nominal",
            hue_order=order,
            binwidth=0.5,
            binrange=span,
            multiple="stack",
            palette="viridis",
            ax=axis,
        )
        axis.set(title=mixer, xlabel="realised SNR (dB)", ylabel="utterances")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="nominal\nSNR (dB)", frameon=False)
    figure.tight_layout()
    return figure
