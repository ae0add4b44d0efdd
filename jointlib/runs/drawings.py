"""Drawings of what goes in and out: the strategies' architectures, and waves with their spectrograms."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from jointlib import SAMPLE_RATE

_PALETTE = sns.color_palette("colorblind", 10)

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


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB, (64, F) of a wave (T,) at 16 kHz: windows of 25 ms every 10 ms."""
    spectrogram = MelSpectrogram(SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=64, mel_scale="slaney")
    return AmplitudeToDB()(spectrogram(torch.as_tensor(wave, dtype=torch.float32))).numpy()


def spectrograms(waves: Mapping[str, np.ndarray]) -> Figure:
    """Wave and log-mel spectrogram of several versions of an utterance (T,), on common axes and one colour scale."""
    images = {name: log_mel(wave) for name, wave in waves.items()}
    top = max(image.max() for image in images.values())
    peak = max(np.abs(wave).max() for wave in waves.values())
    columns = min(3, len(waves))
    rows = -(-len(waves) // columns)
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(4 * columns, 4.4 * rows),
        sharex=True,
        squeeze=False,
        layout="constrained",
        height_ratios=(1, 2) * rows,
    )
    pairs = zip(axes[::2].flat, axes[1::2].flat, strict=True)
    for number, ((above, below), (name, wave)) in enumerate(zip(pairs, waves.items(), strict=False)):
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
        if number % columns == 0:
            above.set_ylabel("amplitude")
            below.set_ylabel("mel band")
    for axis in [*axes[::2].flat, *axes[1::2].flat]:
        axis.set_visible(axis.has_data())
    figure.colorbar(image, ax=axes, label="power (dB)", shrink=0.5)
    return figure


def vote_shares(table: pd.DataFrame) -> Figure:
    """Shares of blind votes (`votes.summary`) with 95 % intervals, a line a kind and pair; dashed: no difference."""
    figure, axis = plt.subplots(figsize=(8, 1.3 + 0.8 * len(table)))
    places = np.arange(len(table))
    width = [table.share - table.low, table.high - table.share]
    axis.errorbar(table.share, places, xerr=width, fmt="o", ms=9, capsize=5, color=_PALETTE[0])
    axis.axvline(0.5, color="0.4", linestyle="--")
    wanted = {"preference": "A = {} preferred to B = {}", "abx": "X found, A = {}, B = {}"}
    titles = [wanted[row.kind].format(row.run_a, row.run_b) for row in table.itertuples()]
    for place, (row, title) in enumerate(zip(table.itertuples(), titles, strict=True)):
        axis.text(0, place - 0.25, f"{title} ({row.count} of {row.votes})", fontsize=10, backgroundcolor="white")
    axis.set(xlim=(-0.02, 1.02), ylim=(len(table) - 0.5, -0.7), yticks=[], xlabel="share of votes, 95 % interval")
    figure.tight_layout()
    return figure
