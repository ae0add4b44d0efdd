"""How long a corpus of the size of Fluent Speech Commands takes to examine, to read anew, and from the cache: JSON."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from jointlib.corpora.corpus import Corpus
from jointlib.corpora.doctor import examine
from jointlib.support.workers import cores

UTTERANCES, SECONDS = 30_043, 2.3


def write(root: Path, utterances: int = UTTERANCES, length: float = SECONDS) -> None:
    """Write noise of `length` seconds in FSC layout, a speaker per hundred utterances, 31 made-up intents."""
    rng = np.random.default_rng(0)
    (root / "data").mkdir(parents=True)
    rows = {"train": [], "valid": [], "test": []}
    stock = 0.1 * rng.standard_normal(utterances + round(length * 16_000))
    for number in range(utterances):
        speaker = number // 100
        split = ("train", "valid", "test", *["train"] * 7)[speaker % 10]
        path = Path("wavs/speakers", f"{speaker}", f"{number}.wav")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, stock[number : number + round(length * 16_000)], 16_000)
        rows[split].append((path.as_posix(), speaker, "bring my shoes", "bring", f"thing {number % 31}", "none"))
    for split, entries in rows.items():
        columns = ["path", "speakerId", "transcription", "action", "object", "location"]
        pd.DataFrame(entries, columns=columns).to_csv(root / "data" / f"{split}_data.csv")


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        write(root)
        measured = {
            "utterances": UTTERANCES,
            "hours": round(UTTERANCES * SECONDS / 3600, 1),
            "cores": cores(),
            "examined_s": seconds(lambda: examine(root)),
            "examined_again_s": seconds(lambda: examine(root)),
            "read_from_cache_s": seconds(lambda: Corpus.read(root)),
            "read_first_s": seconds(lambda: Corpus.read(root, Path(folder) / "other")),
        }
    print(json.dumps(measured))
