"""Spoken commands by espeak-ng, in the layout of Fluent Speech Commands."""

import ctypes
import uuid
from functools import cache
from itertools import chain, count, islice, product
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
import pandas as pd
import soundfile
import yaml
from scipy.signal import resample_poly

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.corpora.embedded.recording import draw_place, record

COMMANDS = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text())
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@cache
class Synthesizer:
    """espeak-ng, as espeakng-loader brings it. It keeps global state: all calls return the process's one."""

    def __init__(self):
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self._library.espeak_Initialize(2, 0, data, 0)  # Hz; 2: samples to a callback, at once
        self._voice, self._chunks = "", []
        self._callback = _CALLBACK(self._receive)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, _events) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, rate: int, pitch: int, seed: int) -> np.ndarray:
        """Speak a text at `rate` words per minute: float32 (T,) in [-1, 1] at `sample_rate` Hz.

        `voice`: accent and variant, ``"en-us+f3"``; `pitch`: 0 to 100, 50 is its own; `seed`: of the breath noise.
        """
        if voice != self._voice:  # loading a voice takes ten times as long as speaking with it
            if self._library.espeak_SetVoiceByName(voice.encode()):
                raise ValueError(f"espeak-ng has no voice {voice!r}; reinstall espeakng-loader")
            self._voice = voice
        self._library.espeak_SetParameter(_RATE, rate, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._library.espeak_ng_SetRandSeed(seed)
        self._chunks.clear()
        raw = text.encode()
        self._library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, 1, None, None)  # from a character on; in UTF-8
        return np.concatenate(self._chunks).astype(np.float32) / 32768


def commands() -> dict[tuple[str, str, str], list[str]]:
    """The 31 intents of Fluent Speech Commands as (action, object, location), and the eight wordings of each."""
    wordings = {}
    for action, things in COMMANDS["intents"].items():
        for thing, room in ((thing, room) for thing, rooms in things.items() for room in rooms):
            name = COMMANDS["spoken"].get(thing, thing)
            where, which = ("", "") if room == "none" else (f" in the {room}", f"{room} ")
            words = {"it": f"the {name}{where}", "short": f"{which}{name}", "name": name}
            wordings[action, thing, room] = [text.format(**words) for text in COMMANDS["phrasings"][action]]
    return wordings


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
    low, high = settings["words_per_minute"]
    people = {split: [] for split in SPLITS}
    for split, group in people.items():
        for number in range(settings["speakers"][split]):
            # tract: the vocal tract's relative length scales all formants, for more voices than espeak-ng's variants
            pitch, rate, tract = rng.integers(20, 81), rng.integers(low, high + 1), rng.uniform(0.9, 1.1)
            about = {"id": f"{split}{number:03d}", "voice": str(voices[split][number % len(voices[split])])}
            group.append(about | {"pitch": int(pitch), "rate": int(rate), "tract": round(float(tract), 3)})
    return people


def speak(text: str, speaker: dict, rng: np.random.Generator) -> np.ndarray:
    """Speak a text with small variations in rate and pitch: float32 (T,) at 16 kHz, without silence at its ends."""
    rate = speaker["rate"] * rng.uniform(0.95, 1.05)
    pitch = speaker["pitch"] + rng.integers(-5, 6)
    spoken = Synthesizer().say(text, speaker["voice"], round(rate), int(pitch), int(rng.integers(2**31)))
    sounding = np.flatnonzero(np.abs(spoken) > 0.01 * np.abs(spoken).max())
    steps = 50  # Hz: a coarse ratio keeps the resampling filter short
    spoken = spoken[sounding[0] : sounding[-1] + 1]
    return resample_poly(spoken, round(SAMPLE_RATE * speaker["tract"] / steps), Synthesizer().sample_rate // steps)


def write_split(root: Path, settings: dict[str, Any], split: str) -> None:
    """Write one split's wav files and CSV under `root`, the dataset's folder, speaker by speaker."""
    wordings = settings["phrasings"] + (settings["phrasings_of_test_only"] if split == "test" else 0)
    texts = [(text, intent) for intent, spoken in commands().items() for text in spoken[:wordings]]
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
