"""Scores with known answers."""

import numpy as np
import pandas as pd

from jointlib.strategies import STRATEGIES


def invented_scores(accuracy: dict[str, float], pesq: dict[str, float]) -> pd.DataFrame:
    """Scores of 30 speakers, an utterance each, a little off, so that differences of 0.1 are significant."""
    rng, rows = np.random.default_rng(0), []
    for strategy in accuracy:
        about = {"strategy": strategy, "alpha": STRATEGIES[strategy].alpha, "seed": 0, "pesq_wb_noisy": 1.3}
        for speaker in range(30):
            correct = accuracy[strategy] + rng.normal(scale=0.02)
            heard = {"pesq_wb_enhanced": pesq.get(strategy, np.nan) + rng.normal(scale=0.02)}
            rows.append(about | heard | {"speaker": speaker, "path": f"{speaker}.wav", "correct": correct})
    return pd.DataFrame(rows).fillna({"alpha": 0.5}).assign(stoi_noisy=0.8, stoi_enhanced=0.8)
