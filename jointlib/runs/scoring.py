"""Speech scored once: what several runs share, the noisy input or a frozen front-end's output, is kept by content."""

import hashlib

import numpy as np
import pandas as pd
from filelock import FileLock

from jointlib.config import Config
from jointlib.corpora.batches import Data
from jointlib.evaluate import Pairs, pairs_of, score
from jointlib.support.files import remove_partial, write_csv


def score_once(config: Config, pairs: Pairs, title: str) -> pd.DataFrame:
    """`evaluate.score`, read back where the same waves were scored before for this profile."""
    digest = hashlib.blake2b(digest_size=8)
    for pair in pairs:
        for wave in pair:
            digest.update(np.ascontiguousarray(wave))
    file = config.folder / "scores" / f"{digest.hexdigest()}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):  # runs that train side by side want it at the same time
        if not file.exists():
            remove_partial(file.parent, f"{file.name}.*")
            write_csv(file, score(pairs, config.metric_workers, title))
    return pd.read_csv(file, dtype={"failed": str}).fillna({"failed": ""})


def noisy_quality(data: Data) -> pd.DataFrame:
    """`evaluate.quality` of the unprocessed noisy test speech, a row per row of the test plan."""
    pairs = [pair for batch in data.batches("test") for pair in pairs_of(batch, batch.noisy)]
    return score_once(data.config, pairs, "Scoring noisy speech")
