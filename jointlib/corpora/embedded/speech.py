"""Spoken commands by espeak-ng, in the layout of Fluent Speech Commands."""

import uuid
from collections.abc import Iterator
from itertools import chain, count, islice, product
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from scipy.signal import resample_poly

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.config import EmbeddedCorpus
from jointlib.corpora.embedded.espeak import synthesizer

COMMANDS = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text())


def intents() -> list[tuple[str, str, str]]:
    """The 31 intents of Fluent Speech Commands as (action, object, location)."""
    rooms = COMMANDS["rooms"]
    switched = [("lamp", "none"), ("music", "none"), *product(["lights"], rooms)]
    turned = [("volume", "none"), *product(["heat"], rooms)]
    return [
        *((action, *slots) for action, slots in product(["activate", "deactivate"], switched)),
        *((action, *slots) for action, slots in product(["increase", "decrease"], turned)),
        *(("change language", language, "none") for language in COMMANDS["languages"]),
        *(("bring", item, "none") for item in COMMANDS["items"]),
    ]


def phrasings(intent: tuple[str, str, str]) -> list[str]:
    """The eight wordings of an intent."""
    action, thing, room = intent
    name, language, item = (COMMANDS[kind].get(thing) for kind in ("things", "languages", "items"))
    where, which = ("", "") if room == "none" else (f" in the {room}", f"{room} ")
    spoken = {"it": f"the {name}{where}", "short": f"{which}{name}", "language": language, "item": item}
    return [template.format(**spoken) for template in COMMANDS["phrasings"][action]]


def speakers(settings: EmbeddedCorpus) -> dict[str, list[dict]]:
    """Speakers of each split: id, voice (accent and variant), pitch (0 to 100), rate (words per minute) and tract.

    No variant (shape of a voice) is in two splits. `tract`, the relative length of the vocal tract, scales formants.
    """
    rng = np.random.default_rng([settings.seed, 1])
    variants = rng.permutation(COMMANDS["variants"])  # of the 50, 10 valid's and 10 test's: voices that train lacks
    voices = {}
    for split, names in (("valid", variants[:10]), ("test", variants[10:20]), ("train", variants[20:])):
        voices[split] = rng.permutation(["+".join(pair) for pair in product(COMMANDS["accents"], names)])

    def speaker(split: str, number: int) -> dict:
        low, high = settings.words_per_minute
        pitch, rate, tract = rng.integers(30, 70), rng.integers(low, high + 1), rng.uniform(0.92, 1.08)
        about = {"pitch": int(pitch), "rate": int(rate), "tract": round(float(tract), 3)}
        return {"id": f"{split}{number:03d}", "voice": str(voices[split][number]), **about}

    return {split: [speaker(split, number) for number in range(settings.speakers[split])] for split in SPLITS}


def _utterances(settings: EmbeddedCorpus, split: str) -> Iterator[tuple[dict, tuple, str]]:
    """Yield (speaker, intent, text), speaker by speaker, all wordings in an order of each speaker's own."""
    texts = [(intent, text) for intent in intents() for text in phrasings(intent)[: settings.phrasings]]
    people = speakers(settings)[split]
    for number, speaker in enumerate(people):
        rng = np.random.default_rng([settings.seed, 2, SPLITS.index(split), number])
        rounds = chain.from_iterable(rng.permutation(len(texts)) for _ in count())
        for index in islice(rounds, len(range(number, settings.utterances[split], len(people)))):
            yield speaker, *texts[index]


def speak(text: str, speaker: dict, rng: np.random.Generator) -> np.ndarray:
    """Speak a text with small variations in rate, pitch, level and leading silence: float32 (T,) at 16 kHz."""
    rate = speaker["rate"] * rng.uniform(0.95, 1.05)
    pitch = speaker["pitch"] + rng.integers(-5, 6)
    spoken = synthesizer().say(text, speaker["voice"], round(rate), int(pitch), seed=int(rng.integers(2**31)))
    steps = 50  # Hz: a coarse ratio keeps the resampling filter short
    wave = resample_poly(spoken, round(SAMPLE_RATE * speaker["tract"] / steps), synthesizer().sample_rate // steps)
    level = 10 ** (rng.uniform(-6, 0) / 20) * 0.5 / np.abs(wave).max()
    silence = np.zeros(rng.integers(0, SAMPLE_RATE // 10), dtype=np.float32)
    return np.concatenate([silence, wave * level]).astype(np.float32)


def write_split(root: Path, settings: EmbeddedCorpus, split: str) -> None:
    """Write one split's wav files and CSV under `root`, the dataset's folder."""
    rng = np.random.default_rng([settings.seed, 3, SPLITS.index(split)])
    rows = []
    for speaker, (action, thing, room), text in _utterances(settings, split):
        path = Path("wavs/speakers", speaker["id"], f"{uuid.UUID(bytes=rng.bytes(16), version=4)}.wav")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, speak(text, speaker, rng), SAMPLE_RATE, subtype="PCM_16")
        rows.append((path.as_posix(), speaker["id"], text.capitalize(), action, thing, room))
    (root / "data").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(root / "data" / f"{split}_data.csv")
