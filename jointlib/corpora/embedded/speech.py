"""Spoken commands by espeak-ng, in the layout of Fluent Speech Commands."""

import uuid
from itertools import chain, count, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import yaml
from scipy.signal import resample_poly

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.corpora.embedded.espeak import synthesizer
from jointlib.corpora.embedded.recording import draw_place, record

COMMANDS = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text())


def intents() -> list[tuple[str, str, str]]:
    """The 31 intents of Fluent Speech Commands as (action, object, location)."""
    return [
        (action, thing, room)
        for action, things in COMMANDS["intents"].items()
        for thing, rooms in things.items()
        for room in rooms
    ]


def phrasings(intent: tuple[str, str, str]) -> list[str]:
    """The eight wordings of an intent."""
    action, thing, room = intent
    name, language, item = (COMMANDS[kind].get(thing) for kind in ("things", "languages", "items"))
    where, which = ("", "") if room == "none" else (f" in the {room}", f"{room} ")
    spoken = {"it": f"the {name}{where}", "short": f"{which}{name}", "language": language, "item": item}
    return [template.format(**spoken) for template in COMMANDS["phrasings"][action]]


def speakers(settings: dict[str, Any]) -> dict[str, list[dict]]:
    """Speakers of each split: id, voice (accent and variant), pitch (0 to 100), rate (words per minute) and tract."""
    rng = np.random.default_rng([settings["seed"], 1])
    # No variant, the shape of a voice, is in two splits; a fifth of them are valid's, and a fifth test's
    variants = rng.permutation(COMMANDS["variants"])
    fifth = len(variants) // 5
    shapes = {"valid": variants[:fifth], "test": variants[-fifth:], "train": variants[fifth:-fifth]}
    voices = {
        split: rng.permutation(["+".join(pair) for pair in product(COMMANDS["accents"], names)])
        for split, names in shapes.items()
    }

    def speaker(split: str, number: int) -> dict:
        low, high = settings["words_per_minute"]
        # tract: the vocal tract's relative length scales all formants, for more voices than espeak-ng's variants
        pitch, rate, tract = rng.integers(20, 81), rng.integers(low, high + 1), rng.uniform(0.9, 1.1)
        about = {"pitch": int(pitch), "rate": int(rate), "tract": round(float(tract), 3)}
        return {"id": f"{split}{number:03d}", "voice": str(voices[split][number % len(voices[split])]), **about}

    return {split: [speaker(split, number) for number in range(settings["speakers"][split])] for split in SPLITS}


def speak(text: str, speaker: dict, rng: np.random.Generator) -> np.ndarray:
    """Speak a text with small variations in rate and pitch: float32 (T,) at 16 kHz, without silence at its ends."""
    rate = speaker["rate"] * rng.uniform(0.95, 1.05)
    pitch = speaker["pitch"] + rng.integers(-5, 6)
    spoken = synthesizer().say(text, speaker["voice"], round(rate), int(pitch), seed=int(rng.integers(2**31)))
    sounding = np.flatnonzero(np.abs(spoken) > 0.01 * np.abs(spoken).max())
    steps = 50  # Hz: a coarse ratio keeps the resampling filter short
    spoken = spoken[sounding[0] : sounding[-1] + 1]
    return resample_poly(spoken, round(SAMPLE_RATE * speaker["tract"] / steps), synthesizer().sample_rate // steps)


def write_split(root: Path, settings: dict[str, Any], split: str) -> None:
    """Write one split's wav files and CSV under `root`, the dataset's folder, speaker by speaker."""
    wordings = settings["phrasings"] + (settings["phrasings_of_test_only"] if split == "test" else 0)
    texts = [(text, intent) for intent in intents() for text in phrasings(intent)[:wordings]]
    rng, people, rows = np.random.default_rng([settings["seed"], 3, SPLITS.index(split)]), speakers(settings)[split], []
    for number, speaker in enumerate(people):
        shuffle = np.random.default_rng([settings["seed"], 2, SPLITS.index(split), number]).permutation
        place = draw_place(settings, rng)
        rounds = chain.from_iterable(shuffle(len(texts)) for _ in count())  # all wordings, in orders of their own
        for index in islice(rounds, len(range(number, settings["utterances"][split], len(people)))):
            text, intent = texts[index]
            path = Path("wavs/speakers", speaker["id"], f"{uuid.UUID(bytes=rng.bytes(16), version=4)}.wav")
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            wave = speak(text, speaker, rng)
            if settings["recorded"]:
                wave = record(wave, place, settings, rng)
            level = 10 ** (rng.uniform(-6, 0) / 20) * 0.5 / np.abs(wave).max()
            soundfile.write(root / path, wave * level, SAMPLE_RATE, subtype="PCM_16")
            rows.append((path.as_posix(), speaker["id"], text.capitalize(), *intent))
    (root / "data").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(root / "data" / f"{split}_data.csv")
