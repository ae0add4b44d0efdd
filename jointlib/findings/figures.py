"""The figures, in one style; every function takes data and returns a matplotlib Figure."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from jointlib import SAMPLE_RATE
from jointlib.findings.intervals import cells, noisy_cell, on_noise
from jointlib.findings.measures import MEASURES
from jointlib.runs.folder import title
from jointlib.strategies import STRATEGIES

ARCHITECTURES = Path(__file__).with_name("architectures.svg")  # trained parts are blue, dashed arrows pass no gradient
# Rolled so that JT is blue and the detached cascade dark red. No two of twenty strategies share a colour.
_PALETTE = [*np.roll(sns.color_palette("colorblind"), 5, axis=0), *np.roll(sns.color_palette("dark"), 2, axis=0)]
LOOKS = {
    name: {"color": colour, "marker": marker, "label": STRATEGIES[name].title}
    for name, colour, marker in zip(STRATEGIES, cycle(_PALETTE), cycle("sDvPpo*^X"), strict=False)
}
_CURVES = {
    "train_cross_entropy": "training cross-entropy (nat)",
    "valid_cross_entropy": "validation cross-entropy (nat)",
    "valid_mse": "validation MSE",
    "valid_accuracy": "validation accuracy",
}


def use_style() -> None:
    """One look for all figures: colour-blind safe, legible at the width of a README."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=1.05)
    plt.rcParams.update({"figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titleweight": "bold"})


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Train and valid cross-entropy, valid MSE and valid accuracy against the step, one line per strategy."""
    table = pd.concat(histories, names=["strategy"])
    curves = table.filter(list(_CURVES)).dropna(axis=1, how="all").columns
    rows = math.ceil(len(curves) / 2)
    figure, axes = plt.subplots(rows, 2, figsize=(9, 3.2 * rows), layout="constrained", squeeze=False)
    for axis, curve in zip(axes.flat, curves, strict=False):
        for name, history in table.dropna(subset=curve).groupby("strategy", sort=False):
            axis.plot(history.step, history[curve], **LOOKS[name])
        axis.set(xlabel="optimiser step", ylabel=_CURVES[curve], yscale="log" if curve == "valid_mse" else "linear")
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    _add_legend(figure)
    return figure


def _add_legend(figure: Figure, heading: str = "") -> None:
    """One legend below all axes of a figure, with one entry per label."""
    handles = {}
    for axis in figure.axes:
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles, title=heading, loc="outside lower center", ncols=4, frameon=False)


def against_snr(scores: pd.DataFrame, metrics: Sequence[str], alpha: float = 0.5) -> Figure:
    """Accuracy, and the gain in quality over the noisy input, against the SNR, with 95 % intervals.

    One line per strategy, the joint ones at `alpha`, shifted so that no interval hides another.
    """
    has_own = scores.strategy.map(lambda name: STRATEGIES[name].alpha is not None)
    rows = on_noise(scores[has_own | (scores.alpha == alpha)])
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.4 * len(metrics), 4), layout="constrained", squeeze=False)
    levels = np.sort(rows.snr_db.unique())
    step = np.diff(levels).min() if len(levels) > 1 else 1.0
    for axis, metric in zip(axes[0], metrics, strict=True):
        noisy, label = metric.replace("_enhanced", "_noisy"), MEASURES[metric].head
        gains = rows if noisy == metric else rows.assign(**{metric: rows[metric] - rows[noisy]})
        means = pd.concat([cells(group, metric).assign(snr_db=snr_db) for snr_db, group in gains.groupby("snr_db")])
        names = means.strategy.unique()
        for place, name in enumerate(names):
            own, shift = means[means.strategy == name], 0.05 * step * (place - (len(names) - 1) / 2)
            reach = [own.value - own.low, own.high - own.value]
            axis.errorbar(own.snr_db + shift, own.value, reach, elinewidth=0.8, **LOOKS[name])
        if noisy != metric:
            axis.axhline(0, color="0.4", linestyle="--", label="noisy input")
            label = f"gain in {label}"
        axis.set(xlabel="SNR (dB)", title=label, xticks=levels)
    _add_legend(figure, f"joint strategies at alpha = {alpha:g}")
    return figure


def trade_off(scores: pd.DataFrame, quality: str = "pesq_wb_enhanced") -> Figure:
    """The paper's trade-off: accuracy against quality with 95 % intervals; the larger alpha, the fuller the marker.

    Results worse than without enhancement are shaded: quality worse than the noisy input's, or accuracy below that
    of the noisy-trained classifier.
    """
    both = cells(scores, "correct").merge(
        cells(scores, quality), on=["strategy", "alpha"], suffixes=("_accuracy", "_quality")
    )
    figure, axis = plt.subplots(figsize=(9.6, 5.6))
    for row in on_noise(both).itertuples():
        look, strength = LOOKS[row.strategy], 1.0 if STRATEGIES[row.strategy].alpha is not None else row.alpha
        face = 1 - strength * (1 - look["color"])  # white at alpha = 0
        across = [[row.value_quality - row.low_quality], [row.high_quality - row.value_quality]]
        up = [[row.value_accuracy - row.low_accuracy], [row.high_accuracy - row.value_accuracy]]
        look = look | {"label": title(row.strategy, row.alpha), "markerfacecolor": face, "ms": 10, "linestyle": ""}
        axis.errorbar(row.value_quality, row.value_accuracy, up, across, elinewidth=0.8, markeredgewidth=1, **look)
    unprocessed = noisy_cell(scores, quality).value  # of one row, or of none where it could not be computed
    for value in unprocessed:
        axis.axvline(value, color="0.3", linestyle="--", label="quality of the noisy input")
    for name, line in (("classifier_clean", ":"), ("classifier_noisy", "-.")):
        for value in noisy_cell(scores, "correct", name).value:
            axis.axhline(value, color="0.3", linestyle=line, label=f"{STRATEGIES[name].title}, on the noisy input")
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    shade = {"color": "0.5", "alpha": 0.15, "lw": 0}
    end = right if MEASURES[quality].less_is_better else left
    for value in unprocessed:
        axis.axvspan(end, value, label="worse than without enhancement", **shade)
    for value in noisy_cell(scores, "correct", "classifier_noisy").value:
        axis.axhspan(bottom, value, **shade)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    axis.set(xlabel=MEASURES[quality].head, ylabel="intent accuracy on noisy speech")
    axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return figure


_MEL = MelSpectrogram(SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=64, mel_scale="slaney")
_KILOHERTZ = (0.5, 1, 2, 4)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB, (64, F) of a waveform (T,) at 16 kHz: windows of 25 ms every 10 ms."""
    return AmplitudeToDB()(_MEL(torch.as_tensor(wave, dtype=torch.float32))).numpy()


def spectrograms(waves: Mapping[str, np.ndarray]) -> Figure:
    """Waveform and log-mel spectrogram of versions of an utterance (T,), on common axes and one colour scale."""
    images = {name: log_mel(wave) for name, wave in waves.items()}
    top, peak = max(image.max() for image in images.values()), max(np.abs(wave).max() for wave in waves.values())
    columns = min(4 if len(waves) > 6 else 3, len(waves))
    rows = -(-len(waves) // columns)
    figure = plt.figure(figsize=(4 * columns, 4.4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=(1, 2) * rows)
    centres = _MEL.mel_scale.fb.argmax(dim=0).numpy() * SAMPLE_RATE / 512 / 1000  # of the mel bands, in kHz
    ticks = np.interp(_KILOHERTZ, centres, np.arange(len(centres)) + 0.5)
    for (name, wave), above, below in zip(waves.items(), axes[::2].flat, axes[1::2].flat, strict=False):
        seconds = len(wave) / SAMPLE_RATE
        above.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, linewidth=0.4)
        above.set(title=name, ylim=(-peak, peak), xlim=(0, seconds), ylabel="amplitude")
        scale = {"cmap": "magma", "vmin": top - 70, "vmax": top, "extent": (0, seconds, 0, 64)}
        image = below.imshow(images[name], origin="lower", aspect="auto", **scale)
        below.set(xlabel="time (s)", ylabel="frequency (kHz)", yticks=ticks, yticklabels=_KILOHERTZ)
        below.grid(False)
        below.tick_params(labelbottom=True)  # the one below may be empty
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    figure.colorbar(image, ax=axes, label="power (dB)")
    return figure
