"""Noise onto speech: a plan (per utterance which noise, from where, at what SNR), and the formula of a mixture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from jointlib import SPLITS
from jointlib.corpora.corpus import Corpus, Noises

LEVEL_DB = -25.0  # dBFS RMS of speech and of noise before they are mixed, as in MS-SNSD
PEAK = 0.99  # a mixture above this is rescaled, speech and noise together

# The noise's gain is 10 ** (-exponent * snr_db / 20). MS-SNSD's script in its widely copied version takes the square
# root of the gain once more, so that its realised SNR is half of what was asked for, in dB.
MIXERS = {"exact": 1.0, "ms_snsd": 0.5}


class Mixture(NamedTuple):
    """A contaminated batch: clean = speech_gain * speech, noisy = clean + noise_gain * noise."""

    noisy: Tensor  # (B, T)
    clean: Tensor  # (B, T)
    lengths: Tensor  # (B,), in samples
    speech_gain: Tensor  # (B,)
    noise_gain: Tensor  # (B,)

    @property
    def realised_snr_db(self) -> Tensor:
        """Measured on the mixture: (B,)."""
        return 20 * torch.log10(_rms(self.clean, self.lengths) / _rms(self.noisy - self.clean, self.lengths))


def _rms(wave: Tensor, lengths: Tensor) -> Tensor:
    """RMS (B,) of (B, T) over the true lengths; at least 1e-8, so that silence stays silent."""
    return (wave.square().sum(dim=-1) / lengths).sqrt().clamp_min(1e-8)


def mix(speech: Tensor, noise: Tensor, lengths: Tensor, snr_db: Tensor, mixer: str = "exact") -> Mixture:
    """Mix noise (B, T) into zero-padded speech (B, T) of true `lengths` (B,) at `snr_db` (B,); nothing in the padding.

    Speech and noise are set to -25 dBFS RMS, the noise is scaled over the whole utterance, and the pair is rescaled
    when it would clip (MS-SNSD). `mixer`: "exact" realises that SNR, "ms_snsd" half of it; KeyError for others.
    """
    time = torch.arange(noise.shape[-1], dtype=torch.float32, device=lengths.device)
    noise = noise * (lengths[:, None] - time).clamp_(0, 1)  # on a CPU, `time < lengths` would take six times as long
    level = 10 ** (LEVEL_DB / 20)
    speech_gain = level / _rms(speech, lengths)  # (B,)
    noise_gain = level / _rms(noise, lengths) * 10 ** (-MIXERS[mixer] * snr_db / 20)
    noisy = (noise * noise_gain[:, None]).addcmul_(speech, speech_gain[:, None])
    unclipped = (PEAK / noisy.abs().amax(dim=-1).clamp_min(1e-8)).clamp(max=1.0)
    speech_gain, noise_gain = speech_gain * unclipped, noise_gain * unclipped
    return Mixture(noisy.mul_(unclipped[:, None]), speech * speech_gain[:, None], lengths, speech_gain, noise_gain)


def draw_plan(
    corpus: Corpus, split: str, noises: Noises, snr_db: Sequence[float], seed: int = 0, number: int = 0
) -> pd.DataFrame:
    """Draw noise, offset (samples) and SNR (dB) per utterance of a split; the same seed and number, the same plan.

    Returns a row per utterance: utterance (row of the corpus), path, speaker, intent, label, transcription, noise
    (row of `noises`), noise_file, noise_type, offset (where the noise begins in its recording, and sounds) and snr_db.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    plan = corpus.manifest.query("split == @split").reset_index(names="utterance")
    plan = plan[["utterance", "path", "speaker", "intent", "label", "transcription"]]
    files_of = [group.index.to_numpy() for _, group in noises.manifest.groupby("type")]
    kinds = rng.integers(len(files_of), size=len(plan))  # type before file: many files make no type more frequent
    plan["noise"] = np.array([rng.choice(files_of[kind]) for kind in kinds])  # rows of `noises`
    plan["noise_file"] = [file.name for file in noises.manifest.file[plan.noise]]
    plan["noise_type"] = noises.manifest.type.to_numpy()[plan.noise]
    plan["offset"] = [rng.choice(noises.sounding[file]) for file in plan.noise]  # where it sounds
    plan["snr_db"] = rng.choice(np.asarray(snr_db, dtype=float), size=len(plan))
    return plan
