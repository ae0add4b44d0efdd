"""What a run is worth, utterance by utterance: correct or not, PESQ, STOI, SI-SDR and MSE, before and after."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import pesq
import pystoi
import torch
from filelock import FileLock
from torch import nn

from jointlib import SAMPLE_RATE
from jointlib.data import Batch, Data
from jointlib.files import remove_partial, write_csv
from jointlib.progress import Progress
from jointlib.strategies import STRATEGIES

QUALITY = ("pesq_wb", "pesq_nb", "stoi", "si_sdr", "mse")


def si_sdr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019) of two waves (T,), means removed.

    Raises:
        ValueError: a silent signal.
    """
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    if not (clean @ clean > 0 and estimate @ estimate > 0):
        raise ValueError("silent signal")
    target = (estimate @ clean) / (clean @ clean) * clean
    residual = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((target @ target) / (residual @ residual)))


def _stoi(clean: np.ndarray, estimate: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi returns 1e-5 with a warning where it is too short
        return float(pystoi.stoi(clean, estimate, SAMPLE_RATE))


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pesq_wb": lambda clean, estimate: float(pesq.pesq(SAMPLE_RATE, clean, estimate, "wb")),
    "pesq_nb": lambda clean, estimate: float(pesq.pesq(SAMPLE_RATE, clean, estimate, "nb")),
    "stoi": _stoi,
    "si_sdr": si_sdr,
    "mse": lambda clean, estimate: float(np.mean((clean - estimate) ** 2)),
}


def quality(pair: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Every metric of an estimate against clean speech, waves (T,) at 16 kHz.

    PESQ in MOS (wide band 1.04 to 4.64, narrow band to 4.55), STOI 0 to 1, SI-SDR in dB, MSE per sample. A metric that
    cannot be computed (silence, too short) is NaN, and ``failed`` says why; it is empty where all went well.
    """
    clean, estimate = (np.asarray(wave, dtype=np.float64) for wave in pair)
    scores, reasons = {}, []
    for name, metric in _METRICS.items():
        try:
            scores[name] = metric(clean, estimate)
            if not np.isfinite(scores[name]):
                raise ValueError(f"not finite: {scores[name]}")
        except (pesq.PesqError, ValueError, ZeroDivisionError, RuntimeWarning) as error:
            scores[name] = float("nan")
            reasons.append(f"{name}: {type(error).__name__} {error}".replace("\n", " ")[:120])
    return scores | {"failed": "; ".join(reasons)}


def score(pairs: Sequence[tuple[np.ndarray, np.ndarray]], workers: int | None, title: str) -> pd.DataFrame:
    """`quality` of every (clean, estimate), in `workers` processes (None: one per core), in the pairs' order."""
    workers = workers or os.cpu_count() or 1
    with Progress(len(pairs), title) as progress:
        if workers == 1:
            return _collect(map(quality, pairs), progress)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            return _collect(pool.map(quality, pairs, chunksize=8), progress)


def _collect(scores: Iterable[dict[str, Any]], progress: Progress) -> pd.DataFrame:
    rows = []
    for row in scores:
        rows.append(row)
        progress.advance()
    return pd.DataFrame(rows)


Pairs = list[tuple[np.ndarray, np.ndarray]]


def noisy_quality(data: Data, plan: pd.DataFrame) -> pd.DataFrame:
    """`quality` of the unprocessed noisy test speech, a row per row of the plan."""
    pairs: Pairs = []
    for batch in data.batches("test", plan):
        pairs += _pairs(batch, batch.noisy)
    return _score_once(data, pairs, "Scoring noisy speech")


def _pairs(batch: Batch, wave: torch.Tensor) -> Pairs:
    """(clean, wave) of each utterance, without its padding."""
    both = torch.cat([batch.clean, wave.float()], dim=1).cpu().numpy()  # (B, 2, T)
    return [(two[0, :length], two[1, :length]) for two, length in zip(both, batch.lengths.tolist(), strict=True)]


def _score_once(data: Data, pairs: Pairs, title: str) -> pd.DataFrame:
    """`score`, kept by the waves' content: noisy speech, and what a front-end that several runs share makes of it."""
    digest = hashlib.blake2b(digest_size=8)
    for pair in pairs:
        for wave in pair:
            digest.update(np.ascontiguousarray(wave))
    file = data.config.folder / "scores" / f"{digest.hexdigest()}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):  # runs that train side by side want it at the same time
        if not file.exists():
            remove_partial(file.parent, f"{file.name}.*")
            write_csv(file, score(pairs, data.config.metric_workers, title))
    return pd.read_csv(file, dtype={"failed": str}).fillna({"failed": ""})


@torch.inference_mode()
def evaluate(model: nn.Module, data: Data) -> pd.DataFrame:
    """Score a model on the test split, the only place that touches it.

    Returns:
        A row per test utterance: path, speaker, intent, noise_type, snr_db; where the model classifies predicted,
        probability, runner_up, correct, and correct_on_clean, the same for clean speech; every quality as NAME_noisy
        and, where it enhances, NAME_enhanced, with the reasons of what failed in failed_noisy and failed_enhanced.
    """
    config, corpus = data.config, data.corpus
    test_input = config.test_input or STRATEGIES[config.strategy].test_input
    plan = data.plan("test")
    table = plan[["path", "noise_type", "snr_db"]].copy()
    table["speaker"], table["intent"] = (
        corpus.manifest[name][plan.utterance].to_numpy() for name in ("speaker", "intent")
    )
    model.eval()
    logits, on_clean, pairs = [], [], []
    for batch in data.batches("test", plan):
        output = model(getattr(batch, test_input))
        if output.logits is not None:
            logits.append(output.logits.float().cpu())
            on_clean.append((model(batch.clean).logits.argmax(dim=1) == batch.labels).cpu())
        if output.enhanced is not None:
            pairs += _pairs(batch, output.enhanced)
    columns = [table, noisy_quality(data, plan).add_suffix("_noisy")]
    if logits:
        table["correct_on_clean"] = torch.cat(on_clean).int().numpy()
        columns.append(_classified(torch.cat(logits), corpus.intents, table.intent))
    if pairs:
        columns.append(_score_once(data, pairs, "Scoring enhanced speech").add_suffix("_enhanced"))
    return pd.concat(columns, axis=1)


def _classified(logits: torch.Tensor, intents: list[str], truth: pd.Series) -> pd.DataFrame:
    probabilities, ranked = logits.softmax(dim=1).topk(2)
    names = np.array(intents, dtype=object)
    predicted = names[ranked[:, 0].numpy()]
    return pd.DataFrame(
        {
            "predicted": predicted,
            "probability": probabilities[:, 0].numpy(),
            "runner_up": names[ranked[:, 1].numpy()],
            "correct": (predicted == truth.to_numpy()).astype(int),
        }
    )


def summarise(per_utterance: pd.DataFrame) -> dict[str, Any]:
    """Means over the test split, by SNR and by noise type, of what could be computed; and how many failed."""
    numbers = [name for name in per_utterance if name.startswith("correct") or name.rpartition("_")[0] in QUALITY]

    def means(by: str) -> dict[str, Any]:
        grouped = per_utterance.groupby(by)[numbers].mean()
        return {str(key): row.dropna().to_dict() for key, row in grouped.iterrows()}

    failed = {name: int(per_utterance[name].isna().sum()) for name in numbers}
    return {
        "utterances": len(per_utterance),
        "mean": per_utterance[numbers].mean().dropna().to_dict(),
        "failed": {name: count for name, count in failed.items() if count},
        "by_snr_db": means("snr_db"),
        "by_noise_type": means("noise_type"),
    }
