"""The figures, in one style; every function draws on data it is given and returns the matplotlib Figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from jointlib import SAMPLE_RATE
from jointlib.runs.folder import title
from jointlib.runs.intervals import cells, interval, noisy_cell
from jointlib.runs.measures import measure_of
from jointlib.strategies import STRATEGIES

ARCHITECTURES = Path(__file__).with_name("architectures.svg")  # trained parts are blue, dashed arrows pass no gradient
_PALETTE = [*sns.color_palette("colorblind", 10), "#222222", "#661100"]  # and two of Tol's that differ from the ten
# Place in the palette, and marker, a strategy: no two lines or points of a profile share a colour.
_LOOKS = {
    "classifier_clean": (7, "s"),
    "classifier_noisy": (9, "D"),
    "enhancement": (8, "v"),
    "cascade_clean": (6, "P"),
    "cascade_enhanced": (5, "p"),
    "jt": (0, "o"),
    "jt_clean": (4, "*"),
    "bn": (1, "^"),
    "bn_mix": (2, "X"),
    "jt_spectral": (8, ">"),
    "mask": (10, ">"),
    "cascade_mask": (5, "P"),
    "cascade_mask_enhanced": (11, "p"),
    "jt_mask": (1, "s"),
    "bn_mask": (1, "<"),
    "shielded": (2, "D"),
    "protected": (3, "*"),
    "observed": (6, "h"),
    "dual": (4, "v"),
}
_TITLES = {name: row.title for name, row in STRATEGIES.items()}
_OTHERS = (7, "d")  # the look of a row that somebody adds
COLOURS = {title: _PALETTE[_LOOKS.get(name, _OTHERS)[0]] for name, title in _TITLES.items()}
MARKERS = {title: _LOOKS.get(name, _OTHERS)[1] for name, title in _TITLES.items()}
_LINES = {"palette": COLOURS, "markers": MARKERS, "dashes": False, "markeredgewidth": 0}
# What is tested on clean speech has no place beside accuracies on noisy speech.
_COMPARED = [name for name, row in STRATEGIES.items() if row.test_input == "noisy"]
_CURVES = {
    "train_cross_entropy": "train cross-entropy (nat)",
    "valid_cross_entropy": "valid cross-entropy (nat)",
    "valid_mse": "valid MSE",
    "valid_accuracy": "valid accuracy",
}


def use_style() -> None:
    """One look for all figures: colour-blind safe, legible at the width of a README."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=1.05)
    plt.rcParams.update({"figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titleweight": "bold"})


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Train and valid cross-entropy, valid MSE and valid accuracy against the step, a line a strategy."""
    named = [history.assign(strategy=_TITLES[name]) for name, history in histories.items()]
    curves = pd.concat(named).reindex(columns=["step", "strategy", *_CURVES])
    curves = curves.melt(["step", "strategy"], var_name="curve").dropna(subset="value")
    if curves.empty:
        figure = plt.figure(figsize=(4, 0.6))
        figure.text(0.5, 0.5, "nothing was trained here", ha="center", va="center")
        return figure
    shown = [name for name in _CURVES if name in set(curves.curve)]
    lines = {"hue": "strategy", "style": "strategy", "hue_order": _in_order(curves.strategy), **_LINES}
    facets = {"col": "curve", "col_order": shown, "col_wrap": 2, "height": 3, "aspect": 1.5}
    facets |= {"facet_kws": {"sharey": False, "sharex": False, "despine": False}}
    grid = sns.relplot(curves, kind="line", x="step", y="value", **facets, **lines).set_titles("")
    for name, axis in grid.axes_dict.items():
        scale = "log" if name == "valid_mse" else "linear"
        axis.set(xlabel="optimiser step", ylabel=_CURVES[name], yscale=scale)
    grid.tight_layout()
    sns.move_legend(grid, "lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, title=None)
    return grid.figure


def against_snr(
    scores: pd.DataFrame, metrics: Sequence[str] = ("correct", "pesq_wb_enhanced"), alpha: float = 0.5
) -> Figure:
    """Accuracy, and what is gained in quality over the noisy input, against the SNR, with 95 % intervals.

    A line a strategy, the joint ones at `alpha`, drawn side by side so that no interval hides another.
    """
    has_own = scores.strategy.map(lambda name: STRATEGIES[name].alpha is not None)
    rows = scores[scores.strategy.isin(_COMPARED) & (has_own | (scores.alpha == alpha))]
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.4 * len(metrics), 4), layout="constrained")
    levels = np.sort(rows.snr_db.unique())
    step, shown = np.diff(levels).min() if len(levels) > 1 else 1.0, {}
    for axis, metric in zip(np.atleast_1d(axes), metrics, strict=True):
        noisy = metric.replace("_enhanced", "_noisy")
        gained = rows.assign(gain=rows[metric] - (rows[noisy] if noisy != metric else 0)).dropna(subset="gain")
        names = [name for name in _TITLES if name in set(gained.strategy)]
        width = min(0.25, 0.03 * (len(names) - 1))  # of a step, to either side
        for name, shift in zip(names, np.linspace(-width, width, len(names)) * step, strict=True):
            own = gained[gained.strategy == name]
            known = [interval(group.gain, group.speaker, group.seed) for _, group in own.groupby("snr_db")]
            mean, low, high = np.array(known).T if noisy != metric else np.clip(known, 0, 1).T
            look = {"color": COLOURS[_TITLES[name]], "marker": MARKERS[_TITLES[name]], "elinewidth": 0.8, "ms": 6}
            places = np.sort(own.snr_db.unique()) + shift
            axis.errorbar(places, mean, [mean - low, high - mean], label=_TITLES[name], **look)
        label = measure_of(metric).head
        if noisy != metric:
            axis.axhline(0, color="0.4", linestyle="--", label="noisy input")
            label = f"gain in {label}"
        axis.set(xlabel="SNR (dB)", title=label, xticks=levels)
        shown |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    joint = any(STRATEGIES[name].alpha is None for name in rows.strategy.unique())
    note = f"joint strategies at alpha = {alpha:g}" if joint else None
    figure.legend(shown.values(), shown, title=note, loc="outside lower center", ncols=4, frameon=False)
    return figure


def trade_off(scores: pd.DataFrame, quality: str = "pesq_wb") -> Figure:
    """The paper's trade-off: accuracy against quality, each cell with 95 % intervals, the fuller the larger alpha.

    What is worse than without enhancement is shaded: quality worse than the noisy input's, or accuracy below that of
    the classifier that was trained on noisy speech and reads it as it is.
    """
    accuracy, heard = (cells(scores, name) for name in ("correct", f"{quality}_enhanced"))
    both = accuracy.merge(heard, on=["strategy", "alpha"], suffixes=("_accuracy", "_quality"))
    figure, axis = plt.subplots(figsize=(9.6, 5.6))
    order = both[both.strategy.isin(_COMPARED)].sort_values(["strategy", "alpha"], key=_in_order_of_the_table)
    places = order[["value_quality", "value_accuracy"]].to_numpy()
    reach = 0.01 * (np.ptp(places, axis=0) if len(places) else 1)
    for number, row in enumerate(order.itertuples()):
        below = int((np.abs(places[:number] - places[number]) <= reach).all(axis=1).sum())  # points that it would hide
        name, strength = _TITLES[row.strategy], 1.0 if STRATEGIES[row.strategy].alpha is not None else row.alpha
        axis.errorbar(
            row.value_quality,
            row.value_accuracy,
            xerr=[[row.value_quality - row.low_quality], [row.high_quality - row.value_quality]],
            yerr=[[row.value_accuracy - row.low_accuracy], [row.high_accuracy - row.value_accuracy]],
            fmt=MARKERS[name],
            color=COLOURS[name],
            elinewidth=0.8,
            ms=10 + 7 * below,  # a ring around what it would hide
            markerfacecolor="none" if below else _paler(COLOURS[name], strength),
            label=title(row.strategy, row.alpha),
        )
    unprocessed = noisy_cell(scores, f"{quality}_enhanced").value.iloc[0]
    axis.axvline(unprocessed, color="0.3", linestyle="--", label="quality of the noisy input")
    for name, line in (("classifier_clean", ":"), ("classifier_noisy", "-.")):
        for value in noisy_cell(scores, "correct", name).value:
            axis.axhline(value, color="0.3", linestyle=line, label=f"{_TITLES[name]}, on the noisy input")
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    shade = {"color": "0.5", "alpha": 0.15, "lw": 0}
    end = right if measure_of(quality).less_is_better else left
    axis.axvspan(end, unprocessed, label="worse than without enhancement", **shade)
    for value in noisy_cell(scores, "correct", "classifier_noisy").value:
        axis.axhspan(bottom, value, **shade)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    axis.set(xlabel=measure_of(quality).head, ylabel="intent accuracy on noisy speech")
    axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def _in_order_of_the_table(column: pd.Series) -> pd.Series:
    return column.map(list(STRATEGIES).index) if column.name == "strategy" else column


def _in_order(titles: pd.Series) -> list[str]:
    return [title for title in _TITLES.values() if title in set(titles)]


def _paler(colour: tuple[float, float, float], alpha: float) -> tuple[float, float, float]:
    """A colour, the paler the smaller alpha; white at 0."""
    share = 0.0 if alpha == 0 else 0.25 + 0.75 * alpha
    return tuple(1 - share * (1 - channel) for channel in colour)


_MEL = MelSpectrogram(SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=64, mel_scale="slaney")
_KILOHERTZ = (0.5, 1, 2, 4)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB, (64, F) of a wave (T,) at 16 kHz: windows of 25 ms every 10 ms."""
    return AmplitudeToDB()(_MEL(torch.as_tensor(wave, dtype=torch.float32))).numpy()


def _bands_of(kilohertz: Sequence[float]) -> np.ndarray:
    """Where frequencies lie on an axis of mel bands."""
    centres = _MEL.mel_scale.fb.argmax(dim=0).numpy() * SAMPLE_RATE / 512 / 1000
    return np.interp(kilohertz, centres, np.arange(len(centres)) + 0.5)


def spectrograms(waves: Mapping[str, np.ndarray]) -> Figure:
    """Wave and log-mel spectrogram of several versions of an utterance (T,), on common axes and one colour scale."""
    images = {name: log_mel(wave) for name, wave in waves.items()}
    top, peak = max(image.max() for image in images.values()), max(np.abs(wave).max() for wave in waves.values())
    columns = min(4 if len(waves) > 6 else 3, len(waves))
    rows = -(-len(waves) // columns)
    figure = plt.figure(figsize=(4 * columns, 4.4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=(1, 2) * rows)
    pairs = zip(axes[::2].flat, axes[1::2].flat, strict=True)
    for number, ((above, below), (name, wave)) in enumerate(zip(pairs, waves.items(), strict=False)):
        time = np.arange(len(wave)) / SAMPLE_RATE
        above.plot(time, wave, linewidth=0.4)
        above.set(title=name, ylim=(-peak, peak), xlim=(0, len(wave) / SAMPLE_RATE))
        scale = {"cmap": "magma", "vmin": top - 70, "vmax": top, "extent": (0, len(wave) / SAMPLE_RATE, 0, 64)}
        image = below.imshow(images[name], origin="lower", aspect="auto", **scale)
        below.set(xlabel="time (s)", yticks=_bands_of(_KILOHERTZ), yticklabels=_KILOHERTZ)
        below.grid(False)
        below.tick_params(labelbottom=True)  # the one below may be empty
        if number % columns == 0:
            above.set_ylabel("amplitude")
            below.set_ylabel("frequency (kHz)")
    free = [axis for axis in axes.flat if not axis.has_data()]
    for axis in free:
        axis.axis("off")
    place = {"cax": free[0].inset_axes((0.1, 0.3, 0.8, 0.2)), "orientation": "horizontal"} if free else {"ax": axes}
    figure.colorbar(image, label="power (dB)", **place)
    return figure
