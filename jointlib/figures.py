"""The figures, in one style; every function draws on data it is given and returns the matplotlib Figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torchaudio.functional as AF
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from jointlib.audio import SAMPLE_RATE
from jointlib.report import cells, noisy_cell
from jointlib.strategies import STRATEGIES

_PALETTE = sns.color_palette("colorblind", 10)
COLOURS = dict(zip(STRATEGIES, [_PALETTE[place] for place in (7, 9, 8, 6, 5, 0, 4, 1, 2, 3, 3)], strict=True))
MARKERS = dict(zip(STRATEGIES, "sDvpPo*^X<>", strict=True))
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


_PLACES = {  # box: (text, x, y, trained)
    "noisy": ("noisy\nwave", 0.8, 2.0, False),
    "unet": ("Wave-\nU-Net", 3.3, 2.0, True),
    "enhanced": ("enhanced\nwave", 6.0, 2.0, False),
    "conv": ("1-D conv", 0.8, 0.5, True),
    "tcn": ("TCN", 6.0, 0.5, True),
    "intent": ("intent", 8.4, 0.5, False),
}
_COMMON = [("noisy", "unet"), ("unet", "enhanced"), ("tcn", "intent")]
_DRAWN = {  # title: (further arrows, style of the arrow into the TCN)
    "Cascade: trained apart": ([("enhanced", "tcn")], "--"),
    "JT: joined by the wave": ([("enhanced", "tcn")], "-"),
    "BN: joined by the bottleneck": ([("unet", "tcn")], "-"),
    "BN-Mix: bottleneck and noisy wave": ([("unet", "tcn"), ("noisy", "conv"), ("conv", "tcn")], "-"),
}


def architectures() -> Figure:
    """How each strategy joins front-end and back-end; dashed where no gradient crosses."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 5.4))
    for axis, (title, (arrows, style)) in zip(axes.flat, _DRAWN.items(), strict=True):
        for name in {name for arrow in _COMMON + arrows for name in arrow}:
            _box(axis, *_PLACES[name])
        for start, end in _COMMON + arrows:
            _arrow(axis, start, end, style if end == "tcn" else "-")
        if ("unet", "tcn") in arrows:
            axis.text(4.2, 1.1, "bottleneck", fontsize=11, ha="right", style="italic")
        axis.text(7.2, 2, "MSE", color=_PALETTE[3], fontsize=12, va="center")
        axis.text(9.5, 0.5, "cross-\nentropy", color=_PALETTE[3], fontsize=12, va="center")
        axis.set(xlim=(-0.4, 11.0), ylim=(0, 2.5), title=title)
        axis.axis("off")
    figure.tight_layout()
    return figure


def _box(axis, text: str, x: float, y: float, trained: bool) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x - 1, y - 0.4),
            2,
            0.8,
            boxstyle="square,pad=0",
            edgecolor="0.25",
            facecolor=_PALETTE[9] if trained else "white",
        )
    )
    axis.text(x, y, text, ha="center", va="center", fontsize=11)


def _arrow(axis, start: str, end: str, style: str) -> None:
    (_, x0, y0, _), (_, x1, y1, _) = _PLACES[start], _PLACES[end]
    if y0 == y1:
        x0, x1 = x0 + 1, x1 - 1  # from right side to left side
    else:
        slant = 0.5 * (x1 > x0)  # from bottom to top, the slanted one off the centres
        x0, y0, x1, y1 = x0 + slant, y0 - 0.4, x1 - slant, y1 + 0.4
    arrow = {"arrowstyle": "-|>", "color": "0.25", "shrinkA": 0, "shrinkB": 0, "linestyle": style}
    axis.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops=arrow)


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Train and valid cross-entropy, valid MSE and valid accuracy against the epoch, a colour a run."""
    panels = [
        ("train_cross_entropy", "train cross-entropy (nat)"),
        ("valid_cross_entropy", "valid cross-entropy (nat)"),
        ("valid_mse", "valid MSE"),
        ("valid_accuracy", "valid accuracy"),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6))
    for axis, (column, label) in zip(axes, panels, strict=True):
        for number, (name, history) in enumerate(histories.items()):
            if column in history:
                colour = COLOURS.get(name.split(" ")[0], _PALETTE[number % 10])
                axis.plot(history.epoch + 1, history[column], marker="o", ms=3, label=name, color=colour)
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[2].set_yscale("log")
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    figure.tight_layout()
    figure.legend(
        handles.values(), handles.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False
    )
    return figure


def against_snr(scores: pd.DataFrame, metrics: Sequence[str] = ("correct", "pesq_wb_enhanced")) -> Figure:
    """Metrics against the SNR, a line a strategy at its best alpha on that metric, with the noisy input in grey."""
    figure, axes = plt.subplots(1, len(metrics), figsize=(6.4 * len(metrics), 4.6))
    for axis, metric in zip(np.atleast_1d(axes), metrics, strict=True):
        best = cells(scores, metric).sort_values("value").groupby("strategy").tail(1).set_index("strategy").alpha
        for strategy in (name for name in STRATEGIES if name in best.index):
            rows = scores[(scores.strategy == strategy) & (scores.alpha == best[strategy])]
            means = rows.groupby("snr_db")[metric].mean()
            fixed = STRATEGIES[strategy].alpha is not None
            label = STRATEGIES[strategy].title + ("" if fixed else f", alpha = {best[strategy]:g}")
            axis.plot(means.index, means, color=COLOURS[strategy], marker=MARKERS[strategy], label=label)
        noisy = metric.replace("_enhanced", "_noisy")
        if noisy != metric:
            means = scores.groupby("snr_db")[noisy].mean()
            axis.plot(means.index, means, color="0.4", linestyle="--", label="noisy input")
        axis.set(xlabel="SNR (dB)", ylabel=LABELS[metric.removesuffix("_enhanced")])
        axis.set_xticks(sorted(scores.snr_db.unique()))
        axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, frameon=False)
    figure.tight_layout()
    return figure


def trade_off(scores: pd.DataFrame, quality: str = "pesq_wb") -> Figure:
    """Accuracy against speech quality, every cell a point with its 95 % intervals: the paper's trade-off."""
    accuracy = cells(scores, "correct").set_index(["strategy", "alpha"])
    heard = cells(scores, f"{quality}_enhanced").set_index(["strategy", "alpha"])
    both = accuracy.join(heard, lsuffix="_accuracy", rsuffix="_quality", how="inner").reset_index()
    figure, axis = plt.subplots(figsize=(8.4, 5.4))
    for strategy, group in both.groupby("strategy", sort=False):
        axis.errorbar(
            group.value_quality,
            group.value_accuracy,
            xerr=[group.value_quality - group.low_quality, group.high_quality - group.value_quality],
            yerr=[group.value_accuracy - group.low_accuracy, group.high_accuracy - group.value_accuracy],
            fmt=MARKERS[strategy],
            color=COLOURS[strategy],
            ms=9,
            elinewidth=0.8,
            label=STRATEGIES[strategy].title,
        )
        if STRATEGIES[strategy].alpha is None:
            for row in group.itertuples():
                axis.annotate(
                    f"α={row.alpha:g}",
                    (row.value_quality, row.value_accuracy),
                    xytext=(7, 5),
                    textcoords="offset points",
                    fontsize=9,
                    color=COLOURS[strategy],
                )
    unprocessed = noisy_cell(scores, f"{quality}_enhanced").value.iloc[0]
    axis.axvline(unprocessed, color="0.4", linestyle="--", label="noisy input's quality")
    clean = noisy_cell(scores, "correct")
    if not clean.empty:
        axis.axhline(clean.value.iloc[0], color="0.4", linestyle=":", label="classifier trained on clean")
    axis.set(xlabel=LABELS[quality], ylabel="intent accuracy on noisy speech")
    axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return figure


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
        sns.histplot(
            shown,
            x="realised_snr_db",
            hue="nominal",
            hue_order=order,
            binwidth=0.5,
            multiple="stack",
            palette="viridis",
            ax=axis,
        )
        axis.set(title=mixer, xlabel="realised SNR (dB)", ylabel="utterances")
        axis.get_legend().set_title("nominal SNR (dB)")
    figure.tight_layout()
    return figure


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB, (64, F) of a wave (T,) at 16 kHz: windows of 25 ms every 10 ms."""
    spectrogram = AF.spectrogram(
        torch.as_tensor(wave, dtype=torch.float32),
        pad=0,
        window=torch.hann_window(400),
        n_fft=512,
        hop_length=160,
        win_length=400,
        power=2.0,
        normalized=False,
    )  # (257, F)
    banks = AF.melscale_fbanks(257, 0.0, SAMPLE_RATE / 2, 64, SAMPLE_RATE)  # (257, 64)
    return (10 * torch.log10((banks.T @ spectrogram).clamp_min(1e-10))).numpy()


def spectrograms(waves: Mapping[str, np.ndarray]) -> Figure:
    """Wave and log-mel spectrogram of several versions of an utterance (T,), on common axes and one colour scale."""
    images = {name: log_mel(wave) for name, wave in waves.items()}
    top = max(image.max() for image in images.values())
    peak = max(np.abs(wave).max() for wave in waves.values())
    figure, axes = plt.subplots(
        2,
        len(waves),
        figsize=(3.7 * len(waves), 4.8),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
        height_ratios=(1, 2),
    )
    for (above, below), (name, wave) in zip(axes.T, waves.items(), strict=True):
        seconds = len(wave) / SAMPLE_RATE
        above.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, linewidth=0.4, color=_PALETTE[0])
        above.set(title=name, ylim=(-peak, peak), xlim=(0, seconds))
        image = below.imshow(
            images[name],
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=top - 70,
            vmax=top,
            extent=(0, seconds, 0, 64),
        )
        below.set(xlabel="time (s)")
        below.grid(False)
    axes[0, 0].set_ylabel("amplitude")
    axes[1, 0].set_ylabel("mel band")
    figure.colorbar(image, ax=axes[1, :], label="power (dB)", shrink=0.9)
    return figure
