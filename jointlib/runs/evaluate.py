"""Evaluation on the test split: intent accuracy, and the quality of noisy and of enhanced speech."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import binomtest
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.batches import Batch, Data
from jointlib.metrics import QUALITY, Pairs, quality
from jointlib.support.files import locked, write_csv
from jointlib.support.progress import Progress

PASSAGE = 8 * SAMPLE_RATE  # samples; PESQ is designed for signals of 8 s or more


@torch.inference_mode()
def evaluate(model: nn.Module, data: Data) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a network on the test split, which nothing else uses: a table of utterances, and one of passages.

    Per utterance: path, noise_type, snr_db, speaker, intent, transcription. If the network classifies: predicted,
    probability, runner_up, correct, and correct_on_clean, the same for clean speech. Every metric as NAME_noisy and, if
    the network enhances, NAME_enhanced; failed_noisy and failed_enhanced say why one failed. Per passage: speaker, and
    PESQ of the speaker's utterances, concatenated to 8 s or more.
    """
    model.eval()
    plan, predictions, speech = data.plan("test"), [], {"noisy": [], "enhanced": []}
    for batch in data.batches("test"):
        speech["noisy"] += pairs_of(batch, batch.noisy)
        output = model(getattr(batch, data.config.row.test_input))
        if output.logits is not None:
            probabilities, ranked = output.logits.float().softmax(dim=1).topk(2)
            first, second = np.array(data.corpus.intents, dtype=object)[ranked.T.cpu().numpy()]
            rows = {"predicted": first, "probability": probabilities[:, 0].cpu().numpy(), "runner_up": second}
            found = {"correct": ranked[:, 0], "correct_on_clean": model(batch.clean).logits.argmax(dim=1)}
            rows |= {name: (label == batch.labels).int().cpu().numpy() for name, label in found.items()}
            predictions.append(pd.DataFrame(rows))
        if output.enhanced is not None:
            speech["enhanced"] += pairs_of(batch, output.enhanced)
    described = plan[["path", "noise_type", "snr_db", "speaker", "intent", "transcription"]]
    columns = [described, *([pd.concat(predictions, ignore_index=True)] if predictions else [])]
    of_passages = []
    for kind, pairs in speech.items():
        if pairs:
            columns.append(score_once(data.config, pairs, f"Scoring {kind} speech").add_suffix(f"_{kind}"))
            names, longer = passages(pairs, plan.speaker)
            scores = score_once(data.config, longer, f"Scoring {kind} passages", QUALITY[:2])
            of_passages.append(scores.add_suffix(f"_{kind}"))
    return pd.concat(columns, axis=1), pd.concat([pd.DataFrame({"speaker": names}), *of_passages], axis=1)


def pairs_of(batch: Batch, waves: Tensor) -> Pairs:
    """(clean, waveform) of each utterance of a batch, for waveforms (B, 1, T), without the padding."""
    both = torch.cat([batch.clean, waves.float()], dim=1).cpu().numpy()  # (B, 2, T)
    return [(two[0, :length], two[1, :length]) for two, length in zip(both, batch.lengths.tolist(), strict=True)]


def passages(pairs: Pairs, speakers: Sequence[str]) -> tuple[list[str], Pairs]:
    """Concatenate each speaker's pairs, in order, to `PASSAGE` samples or more; a shorter rest joins the last passage.

    Returns: the speaker of each passage, and the passages.
    """
    names, joined = [], []
    for name in dict.fromkeys(speakers):
        parts, samples = [], PASSAGE
        for pair, speaker in zip(pairs, speakers, strict=True):
            if speaker == name:
                if samples >= PASSAGE:
                    parts.append([])
                    samples = 0
                parts[-1].append(pair)
                samples += len(pair[0])
        if len(parts) > 1 and samples < PASSAGE:
            parts[-2:] = [parts[-2] + parts[-1]]
        names += [name] * len(parts)
        joined += [tuple(np.concatenate(waveforms) for waveforms in zip(*part, strict=True)) for part in parts]
    return names, joined


def score_once(config: Config, pairs: Pairs, title: str, metrics: tuple[str, ...] = QUALITY) -> pd.DataFrame:
    """`quality` of every (clean, estimate), in order, cached in the folder ``scores``: all runs share noisy speech."""
    digest = hashlib.blake2b(",".join(metrics).encode(), digest_size=8)
    for wave in chain.from_iterable(pairs):
        digest.update(np.ascontiguousarray(wave))
    file = config.folder / "scores" / f"{digest.hexdigest()}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_suffix(".lock"), title.lower()):  # concurrent runs need the same scores
        if not file.exists():
            parallel = Parallel(n_jobs=config.metric_workers or -1, return_as="generator")
            scored = parallel(delayed(quality)(pair, metrics) for pair in pairs)
            write_csv(file, pd.DataFrame(Progress(len(pairs), title, values=scored)))
    return pd.read_csv(file, dtype={"failed": str}).fillna({"failed": ""})


def summarise(per_utterance: pd.DataFrame, per_passage: pd.DataFrame) -> dict[str, Any]:
    """The content of metrics.json: means over the test split, the number of failures per metric, and a remark."""
    numbers = [name for name in per_utterance if name.startswith("correct") or name.rpartition("_")[0] in QUALITY]
    failed = per_utterance[numbers].isna().sum()
    return {
        "utterances": len(per_utterance),
        "mean": per_utterance[numbers].mean().dropna().to_dict(),
        "mean_of_passages": per_passage.drop(columns="speaker").mean(numeric_only=True).dropna().to_dict(),
        "failed": failed[failed > 0].to_dict(),
        "remark": remark(per_utterance),
    }


def remark(per_utterance: pd.DataFrame) -> str:
    """A text if a classifier is not significantly better than always predicting the most frequent intent.

    Empty if it is better, and without a classifier.
    """
    if "predicted" not in per_utterance:
        return ""
    accuracy, share = per_utterance.correct.mean(), per_utterance.intent.value_counts(normalize=True).iloc[0]
    guessing = f"always predicting the most frequent intent has {share:.3f}"
    test = binomtest(int(per_utterance.correct.sum()), len(per_utterance), share, alternative="greater")
    return "" if test.pvalue < 0.05 else f"no better than guessing: accuracy {accuracy:.3f}; {guessing}"
