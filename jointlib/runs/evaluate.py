"""What a network is worth on the test split: its reading of the intent, and the quality of what it enhances."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.metrics import QUALITY, Pairs
from jointlib.train import Batch

PASSAGE = 8 * SAMPLE_RATE  # samples; PESQ was made for passages of 8 s and more
Scoring = Callable[[Pairs, str, tuple[str, ...]], pd.DataFrame]  # `metrics.score` of pairs: title, and which metrics


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
