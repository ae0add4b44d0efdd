"""Audio files to 16 kHz mono: one at a time, or many end to end in a mapped file, from which clips are cut."""

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch
import torchaudio.functional as AF
from joblib import Parallel, delayed
from scipy.ndimage import median_filter
from torch import Tensor
from torch.nn.functional import pad

from jointlib import CACHE, SAMPLE_RATE
from jointlib.support.files import locked, replacing, write_json
from jointlib.support.progress import Progress

SILENCE = 1e-4  # RMS, -80 dBFS: at 16 bits hardly more than the last one
# Speech begins where a file comes within this of its loudest part, some 6 dB above its RMS: a noise floor 20 dB below
# speech is no silence, a quiet first consonant may be.
SPEECH_DB = 30.0
_FRAME = 160  # samples, 10 ms
_FORMAT = 10  # of the cache; what was written in another format is not found
_COLUMNS = ("sample_rate", "rms", "clipped", "onset", "problem", "digest", "samples")  # of its table
# What libsndfile reads, and what people record but must convert first; all else beside a sound is not meant as one.
ENDINGS = "wav wave wavex rf64 w64 aif aiff aifc au snd caf flac ogg oga opus mp3 voc sph nist m4a mp4 aac wma amr webm"
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def is_audio(path: Path) -> bool:
    """Whether a path is a file with the ending of a sound, and not hidden, as the ._a.wav that macOS adds to a.wav."""
    return path.suffix[1:].lower() in ENDINGS.split() and path.name[0] != "." and path.is_file()


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Read any file that soundfile reads, channels averaged: float32 (T,) and the rate in Hz. Raises ValueError."""
    import soundfile  # here: training on tensors alone goes without

    try:
        content = Path(path).read_bytes() if isinstance(path, str | Path) else path.read()
        with soundfile.SoundFile(io.BytesIO(content)) as audio:
            announced, sample_rate = audio.frames, audio.samplerate
            wave = audio.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, MemoryError, ValueError) as error:  # the last two: absurd lengths
        reason = str(error).rpartition(": ")[2]
        raise ValueError(f"{path}: not readable as audio ({reason}); convert it to wav or flac") from error
    # A WAV's header holds the file's size; of a cut file, libsndfile reads what is left. Programs that write to a pipe
    # put 0, 0x7FFFxxxx or 0xFFFFFFFF there; some count the header twice.
    size = int.from_bytes(content[4:8], "little") if content[:4] == b"RIFF" else 0
    if len(content) < size < 0x7FFF0000:
        raise ValueError(f"{path}: ends early, after {len(content)} of {size + 8} bytes; copy it again")
    if len(wave) < 0.99 * announced:  # some MP3 files announce a little more
        raise ValueError(f"{path}: ends early, after {len(wave)} of {announced} samples; copy it again")
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if not np.abs(wave).max() <= 100:  # louder samples are integers stored as floats
        raise ValueError(f"{path}: holds samples that are not finite, or beyond 100 times full scale (1.0)")
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def resample(wave: Tensor, sample_rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample (..., T) from `sample_rate` to `new_rate` Hz: (..., ceil(T * new_rate / sample_rate)).

    A windowed sinc of 64 zero crossings: exact to -90 dB up to 0.85 of the lower Nyquist frequency, and 90 dB down from
    1.02 of it on; torchaudio's default of 6 is not (-24 dB at 0.8).
    """
    if sample_rate * new_rate >= 10_000_000 * np.gcd(sample_rate, new_rate) ** 2:  # gigabytes of filters at 44,099 Hz
        sample_rate, new_rate = round(sample_rate, -1), round(new_rate, -1)
    return AF.resample(wave, sample_rate, new_rate, resampling_method="sinc_interp_kaiser", **_SINC)


@dataclass
class PackedAudio:
    """Waveforms of many files end to end. Where each begins is known on the CPU; the samples may be on a GPU."""

    samples: Tensor  # int16, all files
    starts: Tensor  # int64 (N,)
    lengths: Tensor  # int64 (N,), in samples
    # a row per file: the sample_rate (Hz) it had, its rms here, clipped (share of samples at full scale), onset
    # (seconds before it sounds), problem (why it cannot be used; empty otherwise) and digest (of its samples)
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)

    def wave(self, index: int) -> Tensor:
        """File `index` as a whole: float32 (T,), on the CPU."""
        return self._file(index).cpu() / 32768

    def clips(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Cut or zero-pad the files `index` (B,) to `length` samples: float32 (B, length) and true lengths (B,)."""
        clips = torch.stack([pad(file, (0, length - len(file))) for file in map(self._file, index.tolist())])
        lengths = self.lengths[index].clamp(max=length).to(clips.device, non_blocking=True)
        return clips.float().mul_(1 / 32768), lengths

    def loops(self, index: Tensor, offsets: Tensor, length: int) -> Tensor:
        """Cut `length` samples of files `index` (B,) from `offsets` (B,) on, starting over at a file's end."""
        loops = []
        for file, offset in zip(map(self._file, index.tolist()), offsets.tolist(), strict=True):
            start = offset % len(file)
            times = -(-(start + length) // len(file))  # mostly 1, so that nothing is copied
            loops.append(file.expand(times, -1).flatten()[start : start + length])
        return torch.stack(loops).float().mul_(1 / 32768)

    def _file(self, index: int) -> Tensor:
        start = int(self.starts[index])
        return self.samples[start : start + int(self.lengths[index])]


def pack(files: Sequence[Path], title: str) -> PackedAudio:
    """Read files as 16 kHz mono into one memory-mapped array; a spoilt one has no samples, and `sources` says why.

    The array is kept in `CACHE`, and found again as long as paths, sizes and times of modification of the files are the
    same. Where one is spoilt, all are read again next time: the fault may be the disk's, and pass.
    """
    known = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.blake2b(json.dumps([_FORMAT, known]).encode(), digest_size=16).hexdigest()
    packed, table = CACHE / f"{key}.int16", CACHE / f"{key}.json"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / ".lock", "it reads audio into the cache"):
        if not (packed.exists() and table.exists()):
            rows, decoding = [], Parallel(n_jobs=-1, prefer="threads", return_as="generator")
            with replacing(packed) as out:
                for samples, row in Progress(len(files), title, values=decoding(map(delayed(_decode), files))):
                    out.write(samples)
                    rows.append(row)
                out.write(bytes(2))  # an empty file cannot be mapped
            write_json(table, rows)
        sources = pd.DataFrame(json.loads(table.read_text()), columns=list(_COLUMNS))
        if (sources.problem != "").any():
            table.unlink()
    lengths = torch.tensor(sources.pop("samples").to_numpy(dtype=np.int64))
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor has it to be, nor fit into memory
    samples = torch.from_numpy(np.memmap(packed, np.int16, "r"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, sources)


def _decode(file: Path) -> tuple[np.ndarray, tuple]:
    """A file as int16 (T,) at 16 kHz, and its row of the table."""
    try:
        wave, sample_rate = read_audio(file)
        samples = (resample(wave, sample_rate) * 32768).round().clamp(-32768, 32767).to(torch.int16)
    except (ValueError, RuntimeError) as error:  # the latter of torch, where a header names an absurd rate
        return np.zeros(0, np.int16), (0, 0.0, 0.0, 0.0, str(error).removeprefix(f"{file}: "), "", 0)
    rms = (samples.double() / 32768).square().mean().sqrt().item()  # at 16 kHz, as it will be mixed
    clipped = (wave.abs() >= 32767 / 32768).double().mean().item()
    problem = "silent throughout, so that no SNR can be set; remove it" if rms < SILENCE else ""
    if len(samples) < SAMPLE_RATE // 10:
        problem = "shorter than 0.1 s, so that a noise need not sound in it; remove it"
    frames = np.resize(samples.numpy(), (max(1, len(samples) // _FRAME), _FRAME)).astype(np.float32)
    levels = median_filter(frames.std(axis=1), 5)  # a constant offset is no sound, a click no speech
    onset = (levels >= levels.max() * 10 ** (-SPEECH_DB / 20)).argmax().item() * _FRAME / SAMPLE_RATE
    digest = hashlib.blake2b(samples.numpy(), digest_size=16).hexdigest()
    return samples.numpy(), (sample_rate, rms, clipped, onset, problem, digest, len(samples))
