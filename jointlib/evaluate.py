"""What a network is worth, utterance by utterance: its reading of the intent, and PESQ, STOI and other metrics."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pesq
import pystoi
import torch
from scipy.signal import stft
from scipy.stats import binomtest
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.support.progress import Progress
from jointlib.support.workers import cores, fresh_processes
from jointlib.train import Batch

QUALITY = ("pesq_wb", "pesq_nb", "stoi", "estoi", "si_sdr", "lsd", "mse")
PASSAGE = 8 * SAMPLE_RATE  # samples; PESQ was made for passages of 8 s and more
Pairs = list[tuple[np.ndarray, np.ndarray]]  # (clean, estimate), waves (T,) at 16 kHz
Scoring = Callable[[Pairs, str, tuple[str, ...]], pd.DataFrame]  # `score` of pairs: title, and which metrics


def si_sdr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """SI-SDR in dB (Le Roux et al. 2019) of two waves (T,), means removed; ValueError if one is silent."""
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    if not (clean @ clean > 0 and estimate @ estimate > 0):
        raise ValueError("silent signal")
    target = (estimate @ clean) / (clean @ clean) * clean
    residual = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((target @ target) / (residual @ residual)))


def lsd(clean: np.ndarray, estimate: np.ndarray) -> float:
    """Log-spectral distance in dB of two waves (T,): RMS over bins of the difference of log power, mean over frames.

    Windows of 32 ms every 8 ms; power is counted from 80 dB below the clean wave's strongest bin. ValueError if the
    waves are shorter than a window, or the clean one is silent.
    """
    if len(clean) < 512:
        raise ValueError(f"{len(clean)} samples: shorter than a window of 512")
    power = [np.abs(stft(wave, nperseg=512, noverlap=384)[2]) ** 2 for wave in (clean, estimate)]  # (bins, F)
    if not power[0].max() > 0:
        raise ValueError("silent signal")
    first, second = (10 * np.log10(np.maximum(bins, 1e-8 * power[0].max())) for bins in power)
    return float(np.sqrt(((first - second) ** 2).mean(axis=0)).mean())


def _pesq(clean: np.ndarray, estimate: np.ndarray, band: str) -> float:
    if not estimate.any():
        raise ValueError("silent signal")
    return float(pesq.pesq(SAMPLE_RATE, clean, estimate, band))


def _stoi(clean: np.ndarray, estimate: np.ndarray, extended: bool = False) -> float:
    state = np.random.get_state()  # noqa: NPY002 - pystoi adds noise from numpy's global generator to extended STOI
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # for a wave too short, pystoi warns and returns 1e-5
            return float(pystoi.stoi(clean, estimate, SAMPLE_RATE, extended=extended))
    finally:
        np.random.set_state(state)  # noqa: NPY002


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pesq_wb": partial(_pesq, band="wb"),
    "pesq_nb": partial(_pesq, band="nb"),
    "stoi": _stoi,
    "estoi": partial(_stoi, extended=True),
    "si_sdr": si_sdr,
    "lsd": lsd,
    "mse": lambda clean, estimate: float(np.mean((clean - estimate) ** 2)),
}


_REASONS = {  # in which words a metric's error is told
    pesq.BufferTooShortError: "shorter than a quarter of a second",
    pesq.NoUtterancesError: "no speech is found in it",
    np.exceptions.AxisError: "too short",
    RuntimeWarning: "too little speech",
}


def quality(pair: tuple[np.ndarray, np.ndarray], metrics: tuple[str, ...] = QUALITY) -> dict[str, Any]:
    """Metrics of an estimate against clean speech, waves (T,) at 16 kHz.

    PESQ in MOS (wide band 1.04 to 4.64, narrow band to 4.55), STOI and extended STOI 0 to 1, SI-SDR and log-spectral
    distance in dB, MSE per sample. A metric that cannot be computed (silence, too short) is NaN, and ``failed`` says
    why; it is empty where all went well.
    """
    clean, estimate = (np.asarray(wave, dtype=np.float64) for wave in pair)
    scores, reasons = {}, []
    for name in metrics:
        try:
            scores[name] = _METRICS[name](clean, estimate)
            if not np.isfinite(scores[name]):
                raise ValueError(f"not finite: {scores[name]}")
        except (pesq.PesqError, ValueError, ZeroDivisionError, RuntimeWarning) as error:
            scores[name] = float("nan")
            reason = str(_REASONS.get(type(error), error))
            reasons.append(f"{name}: {reason}".replace("\n", " ").replace(";", ",")[:120])
    return scores | {"failed": "; ".join(reasons)}


def score(pairs: Pairs, workers: int | None, title: str, metrics: tuple[str, ...] = QUALITY) -> pd.DataFrame:
    """`quality` of every (clean, estimate), in `workers` processes (None: one per core), in the pairs' order."""
    scored = partial(quality, metrics=metrics)
    workers = workers or cores()
    with Progress(len(pairs), title) as progress:
        if workers == 1:
            return pd.DataFrame(progress.over(map(scored, pairs)))
        with fresh_processes(workers) as pool:
            return pd.DataFrame(progress.over(pool.map(scored, pairs, chunksize=8)))


def pairs_of(batch: Batch, wave: Tensor) -> Pairs:
    """(clean, wave) of each utterance of a batch, wave (B, 1, T), without the padding."""
    both = torch.cat([batch.clean, wave.float()], dim=1).cpu().numpy()  # (B, 2, T)
    return [(two[0, :length], two[1, :length]) for two, length in zip(both, batch.lengths.tolist(), strict=True)]


def passages(pairs: Pairs, speakers: Sequence[str]) -> tuple[list[str], Pairs]:
    """Each speaker's pairs, in their order, joined to `PASSAGE` or more; what is left over goes to the last passage."""
    names, joined = [], []
    for name in dict.fromkeys(speakers):
        parts: list[Pairs] = [[]]
        for pair in (pair for pair, speaker in zip(pairs, speakers, strict=True) if speaker == name):
            if sum(len(clean) for clean, _ in parts[-1]) >= PASSAGE:
                parts.append([])
            parts[-1].append(pair)
        if len(parts) > 1 and sum(len(clean) for clean, _ in parts[-1]) < PASSAGE:
            parts[-2:] = [parts[-2] + parts[-1]]
        names += [name] * len(parts)
        joined += [tuple(np.concatenate(waves) for waves in zip(*part, strict=True)) for part in parts]
    return names, joined


class Scores(NamedTuple):
    """What `evaluate` finds.

    per_utterance: where the network classifies predicted, probability, runner_up, correct, and correct_on_clean, the
        same for clean speech; every quality as NAME_noisy and, where the network enhances, NAME_enhanced, with the
        reasons of what failed in failed_noisy and failed_enhanced.
    per_passage: speaker, and PESQ of the speaker's utterances joined to 8 s or more (see `passages`).
    """

    per_utterance: pd.DataFrame
    per_passage: pd.DataFrame


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    intents: list[str],
    speakers: Sequence[str],
    test_input: str,
    score: Scoring,
) -> Scores:
    """Score a network on batches of the test split, which nothing else touches.

    `intents` name the labels, `speakers` who says which utterance; `test_input`, "clean" or "noisy", is what the
    network is given.
    """
    model.eval()
    found, heard = [], {"noisy": [], "enhanced": []}
    for batch in batches:
        heard["noisy"] += pairs_of(batch, batch.noisy)
        output = model(getattr(batch, test_input))
        if output.logits is not None:
            on_clean = (model(batch.clean).logits.argmax(dim=1) == batch.labels).cpu().numpy()
            found.append(_readings(output.logits, batch.labels, intents).assign(correct_on_clean=on_clean.astype(int)))
        if output.enhanced is not None:
            heard["enhanced"] += pairs_of(batch, output.enhanced)
    columns, joined = [pd.concat(found, ignore_index=True)] if found else [], []
    for name, pairs in heard.items():
        if pairs:
            columns.append(score(pairs, f"Scoring {name} speech", QUALITY).add_suffix(f"_{name}"))
            names, longer = passages(pairs, speakers)
            joined.append(score(longer, f"Scoring {name} passages", QUALITY[:2]).add_suffix(f"_{name}"))
    joined.insert(0, pd.DataFrame({"speaker": names}))
    return Scores(pd.concat(columns, axis=1), pd.concat(joined, axis=1))


def _readings(logits: Tensor, labels: Tensor, intents: list[str]) -> pd.DataFrame:
    probabilities, ranked = logits.float().softmax(dim=1).topk(2)
    first, second = (np.array(intents, dtype=object)[ranked[:, place].cpu().numpy()] for place in (0, 1))
    correct = (ranked[:, 0] == labels).int().cpu().numpy()
    values = {"predicted": first, "probability": probabilities[:, 0].cpu().numpy(), "runner_up": second}
    return pd.DataFrame(values | {"correct": correct})


def summarise(per_utterance: pd.DataFrame, per_passage: pd.DataFrame) -> dict[str, Any]:
    """Means over the test split, by SNR, by noise type and over passages; how many failed; remarks."""
    numbers = [name for name in per_utterance if name.startswith("correct") or name.rpartition("_")[0] in QUALITY]

    def means(by: str) -> dict[str, Any]:
        grouped = per_utterance.groupby(by)[numbers].mean()
        return {str(key): row.dropna().to_dict() for key, row in grouped.iterrows()}

    failed = {name: int(per_utterance[name].isna().sum()) for name in numbers}
    return {
        "utterances": len(per_utterance),
        "mean": per_utterance[numbers].mean().dropna().to_dict(),
        "failed": {name: count for name, count in failed.items() if count},
        "remark": remark(per_utterance),
        "by_snr_db": means("snr_db"),
        "by_noise_type": means("noise_type"),
        "passages": {
            "number": len(per_passage),
            **per_passage.drop(columns="speaker").mean(numeric_only=True).dropna(),
        },
    }


def remark(per_utterance: pd.DataFrame) -> str:
    """What makes a classifier's scores worthless, in words: it always predicts the same, or is no better than that.

    Empty if all is well, and where nothing is classified.
    """
    if "predicted" not in per_utterance:
        return ""
    accuracy, share = per_utterance.correct.mean(), per_utterance.intent.value_counts(normalize=True).iloc[0]
    guessing = f"always guessing the most frequent intent would be right in {share:.3f}"
    if per_utterance.predicted.nunique() == 1:
        return f"always predicts {per_utterance.predicted.iloc[0]!r}: right in {accuracy:.3f}; {guessing}"
    # one-sided, at 5 %, against the share of the most frequent intent
    test = binomtest(int(per_utterance.correct.sum()), len(per_utterance), share, alternative="greater")
    return "" if test.pvalue < 0.05 else f"no better than guessing: right in {accuracy:.3f}; {guessing}"
