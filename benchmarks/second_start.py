"""How long a corpus of 10,000 utterances takes to read, the first time and from the cache. Prints JSON."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from jointlib.corpus import Corpus

UTTERANCES = 10_000


def write(root: Path) -> None:
    """Write noise of a second each, a speaker per ten utterances."""
    rng = np.random.default_rng(0)
    (root / "data").mkdir(parents=True)
    rows = {"train": [], "valid": [], "test": []}
    for number in range(UTTERANCES):
        split = ("valid", "test", *["train"] * 8)[number // 10 % 10]
        path = Path("wavs/speakers", f"{number // 10}", f"{number}.wav")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, 0.1 * rng.standard_normal(16_000), 16_000)
        rows[split].append((path.as_posix(), number // 10, "bring my shoes", "bring", "shoes", "none"))
    for split, entries in rows.items():
        columns = ["path", "speakerId", "transcription", "action", "object", "location"]
        pd.DataFrame(entries, columns=columns).to_csv(root / "data" / f"{split}_data.csv")


def seconds(root: Path) -> float:
    """Time one reading."""
    started = time.perf_counter()
    Corpus.read(root)
    return round(time.perf_counter() - started, 3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "corpus")
        print(
            json.dumps(
                {
                    "utterances": UTTERANCES,
                    "first_s": seconds(Path(folder) / "corpus"),
                    "second_s": seconds(Path(folder) / "corpus"),
                }
            )
        )
