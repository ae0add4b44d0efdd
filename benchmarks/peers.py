"""``python -m benchmarks.peers beyond``: other authors' enhancers on a profile's test utterances, beside its own runs.

The peers of `benchmarks.enhancers` were trained on other and far more data than ours; see benchmarks/README.md for
their installation. Writes peers.csv, .json and .md into results/reference and shows the table in docs/results.md.
"""

import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.signal import correlate
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.enhancers import PEERS, installed_peers
from benchmarks.pages import TARGET, fill_all
from jointlib import SAMPLE_RATE
from jointlib.audition.sounds import Enhancer
from jointlib.config import Config, load_config
from jointlib.corpora.batches import load_data
from jointlib.findings.intervals import interval
from jointlib.findings.scores import read_run
from jointlib.metrics import QUALITY, Pairs
from jointlib.runs.evaluate import pairs_of, passages, score_once
from jointlib.runs.folder import environment, finished, run_folder, title
from jointlib.runs.run import Run, load_run
from jointlib.support.files import write_atomically, write_csv, write_json
from jointlib.support.progress import Progress

OURS = ("enhancement", "jt", "bn", "bn_mix", "mask", "detached")
JUDGES = {"clean-trained": "classifier_clean", "noisy-trained": "classifier_noisy"}
ALPHA = 0.5  # of our joint strategies
LONGEST_DELAY = SAMPLE_RATE // 10  # samples
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


def delay_of(enhance: Enhancer, waves: Sequence[np.ndarray]) -> int:
    """An enhancer's delay in samples: the maximum of the cross-correlation of input and output, summed over `waves`."""
    total = np.zeros(LONGEST_DELAY)
    for wave in waves:
        both = correlate(enhance(np.tile(wave, 3))[: 3 * len(wave)], np.tile(wave, 3), method="fft")
        total += both[3 * len(wave) - 1 :][:LONGEST_DELAY] / (wave @ wave)
    return int(total.argmax())


def check_delays(waves: Sequence[np.ndarray]) -> None:
    """Measure the delay of every installed peer on `waves`. ValueError: it is not the one in `PEERS`."""
    for name in installed_peers():
        _, enhance, delay = PEERS[name]
        if (late := delay_of(enhance, waves)) != delay:
            raise ValueError(f"{name} has a delay of {late} samples, not {delay}; correct benchmarks/enhancers.py")


def enhancers(config: Config) -> dict[str, list[tuple[Enhancer, Path | None]]]:
    """The unprocessed input, every installed peer, and every finished run of `OURS`, one for each seed, with its
    folder."""
    found: dict[str, list[tuple[Enhancer, Path | None]]] = {"Noisy, unprocessed": [(lambda wave: wave, None)]}
    found |= {name: [(enhance, None)] for name, enhance in installed_peers().items()}
    for strategy in OURS:
        folders = [run_folder(config.replace(strategy=strategy, alpha=ALPHA, seed=seed)) for seed in config.seeds]
        if runs := [load_run(folder) for folder in folders if finished(folder)]:
            ours = [(lambda wave, run=run: run.process(wave, level_db=None)[0], run.folder) for run in runs]
            found[f"{title(strategy, ALPHA)} (ours)"] = ours
    return found


def accuracy(judge: Run, waves: list[np.ndarray], labels: Tensor) -> np.ndarray:
    """Which waveforms a classifier classifies correctly, (N,) of 0 and 1."""
    padded = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
    predicted = torch.cat([judge.classify(some).argmax(dim=1) for some in padded.split(64)])
    return (predicted == labels.cpu()).numpy().astype(int)


def scored(config: Config, name: str, folder: Path | None, utterances: Pairs, longer: Pairs) -> list[pd.DataFrame]:
    """The quality of utterances and of passages; for a run of ours as it was scored after its training."""
    if not folder:
        both = ((utterances, f"Scoring {name}", QUALITY), (longer, f"Scoring passages of {name}", QUALITY[:1]))
        return [score_once(config, *each) for each in both]
    tables = [read_run(folder).rename(columns={"correct": "own"}), pd.read_csv(folder / "per_passage.csv")]
    return [table.rename(columns=lambda column: column.removesuffix("_enhanced")) for table in tables]


@torch.inference_mode()
def measure(config: Config) -> pd.DataFrame:
    """Every enhancer on the profile's test plan: enhancer, metric, value and 95 % interval, number of seeds.

    Two classifiers of the profile's first seed judge the output. FileNotFoundError: they have not been trained.
    """
    data = load_data(config)
    pairs: Pairs = [pair for batch in data.batches("test") for pair in pairs_of(batch, batch.noisy)]
    labels = torch.cat([batch.labels for batch in data.batches("test")])
    speakers = data.plan("test").speaker
    cells = {name: config.replace(strategy=row, alpha=0.0, seed=config.seeds[0]) for name, row in JUDGES.items()}
    judges = {name: load_run(run_folder(cell)) for name, cell in cells.items()}
    rows = []
    check_delays([noisy for _, noisy in pairs[:20]])
    for name, versions in enhancers(config).items():
        found = []
        for seed, (enhance, folder) in enumerate(versions):
            waves = [enhance(noisy).astype(np.float32) for _, noisy in Progress(len(pairs), name, values=pairs)]
            estimates = [(clean, wave) for (clean, _), wave in zip(pairs, waves, strict=True)]
            names, longer = passages(estimates, list(speakers))
            scores, passage = scored(config, name, folder, estimates, longer)
            scores, passage = scores.assign(speaker=speakers), passage.add_suffix("_passage")
            for judge, classifier in judges.items():
                scores[judge] = accuracy(classifier, waves, labels)
            if find_spec("speechmos"):  # DNSMOS P.835 (Reddy et al. 2022), which needs no clean speech
                from speechmos import dnsmos

                clipped = (np.clip(estimate, -1, 1) for _, estimate in longer)
                passage["dnsmos"] = [dnsmos.run(wave, SAMPLE_RATE)["ovrl_mos"] for wave in clipped]
            found.append(pd.concat([scores, passage.assign(speaker=names)]).assign(seed=seed))
        table = pd.concat(found)
        for metric in (metric for metric in COLUMNS if metric in table):
            about = interval(table[metric], table.speaker, table.seed)[:3]
            about = np.clip(about, 0, 1) if COLUMNS[metric].startswith("accuracy") else about
            rows.append((name, metric, *about, len(versions)))
    return pd.DataFrame(rows, columns=["enhancer", "metric", "value", "low", "high", "seeds"])


def shown(table: pd.DataFrame) -> str:
    """The table as Markdown, one row per enhancer, best PESQ first, each value with its interval."""
    order = table[table.metric == "pesq_wb"].sort_values("value", ascending=False).enhancer
    cell = table.apply(lambda row: "{value:.2f} [{low:.2f}, {high:.2f}]".format(**row), axis=1)
    wide = table.assign(cell=cell).pivot(index="enhancer", columns="metric", values="cell")
    named = {name: title for name, title in COLUMNS.items() if name in wide}
    wide = wide.loc[order, list(named)].rename(columns=named).fillna("–")
    wide.insert(0, "seeds", table.groupby("enhancer").seeds.max()[wide.index])
    return wide.reset_index().to_markdown(index=False)


if __name__ == "__main__":
    profile = load_config(sys.argv[1])
    packages = [*(module for module, _, _ in PEERS.values()), "speechmos", "onnxruntime"]
    there = sorted(filter(find_spec, packages))
    print(f"left out, not installed (see benchmarks/README.md): {sorted(set(packages) - set(there))}")
    measured = measure(profile)
    write_csv(TARGET / "peers.csv", measured)
    versions = {package: metadata.version(package) for package in there}
    write_json(TARGET / "peers.json", {"profile": profile.profile, "peers": versions, **environment(profile)})
    write_atomically(TARGET / "peers.md", f"{shown(measured)}\n".encode())
    fill_all()
