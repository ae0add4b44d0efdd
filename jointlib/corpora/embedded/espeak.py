"""Spoken text from espeak-ng, through ctypes: the library and its voices come with the package espeakng-loader."""

import ctypes
from functools import cache

import espeakng_loader
import numpy as np

_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Synthesizer:
    """espeak-ng in this process. It keeps global state, so use the one that `synthesizer()` returns."""

    def __init__(self):
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self._library.espeak_Initialize(2, 0, data, 0)  # Hz; 2: samples to a callback, at once
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the voices in {data.decode()}: reinstall espeakng-loader")
        self._voice, self._chunks = "", []
        self._callback = _CALLBACK(self._receive)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, _events) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, rate: int = 175, pitch: int = 50, seed: int = 0) -> np.ndarray:
        """Speak a text: float32 (T,) in [-1, 1] at `sample_rate` Hz.

        `voice` is an accent and a variant, such as ``"en-us+f3"``; `rate` in words per minute; `pitch` 0 to 100, 50 is
        the voice's own; `seed` of the breath noise. ValueError: there is no such voice.
        """
        if voice != self._voice:  # loading a voice takes ten times as long as speaking with it
            if self._library.espeak_SetVoiceByName(voice.encode()):
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            self._voice = voice
        for parameter, value in ((_RATE, rate), (_PITCH, pitch)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._library.espeak_ng_SetRandSeed(seed)
        self._chunks.clear()
        raw = text.encode()
        self._library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, 1, None, None)  # from a character on; in UTF-8
        return np.concatenate(self._chunks).astype(np.float32) / 32768


synthesizer = cache(Synthesizer)  # the process's one, started at the first call
