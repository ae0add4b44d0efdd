"""What a run reads: the corpus and the noises of its configuration on the device, and batches of mixed clips."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from jointlib import SAMPLE_RATE, SPLITS
from jointlib.config import ROOT, Config
from jointlib.contaminate import Contaminator, draw_plan
from jointlib.corpus import Corpus
from jointlib.files import write_csv, write_wav
from jointlib.noises import Noises, check_disjoint
from jointlib.progress import Progress
from jointlib.synthetic import ensure_embedded
from jointlib.synthetic_speech import EmbeddedSettings
from jointlib.values import ConfigError

AUDIO_CACHE = ROOT / "data/cache"
NOISE_OF = {"train": "train", "valid": "train", "test": "test"}  # validation must not hear the test noises


class Batch(NamedTuple):
    """noisy, clean (B, 1, T); labels, lengths (in samples) and rows (of the plan), (B,)."""

    noisy: Tensor
    clean: Tensor
    labels: Tensor
    lengths: Tensor
    rows: Tensor


@dataclass
class Data:
    """Corpus and noises, packed on one device."""

    config: Config
    corpus: Corpus
    noises: dict[str, Noises]
    labels: Tensor

    def plan(self, split: str, epoch: int = 0) -> pd.DataFrame:
        """The contamination plan of a split; of train, the one of that epoch."""
        config = self.config
        snr_db = config.snr_db_test if split == "test" and config.snr_db_test else config.snr_db
        return draw_plan(self.corpus, split, self.noises[NOISE_OF[split]], snr_db, config.contamination_seed, epoch)

    def contaminator(self, split: str, plan: pd.DataFrame) -> Contaminator:
        """The mixer of a plan's rows."""
        noise = self.noises[NOISE_OF[split]].audio
        return Contaminator(plan, self.corpus.audio, noise, self.config.clip_samples, self.config.mixer)

    def batches(self, split: str, plan: pd.DataFrame, order: Tensor | None = None) -> Iterator[Batch]:
        """Mix a plan's rows batch by batch, in their own or in the given order."""
        contaminator = self.contaminator(split, plan)
        order = torch.arange(len(plan)) if order is None else order
        for rows in order.to(self.labels.device).split(self.config.batch_size):
            mixture = contaminator.mix(rows)
            labels = self.labels[contaminator.utterance[rows]]
            yield Batch(mixture.noisy.unsqueeze(1), mixture.clean.unsqueeze(1), labels, mixture.lengths, rows)


def check_sources(config: Config) -> None:
    """Raise FileNotFoundError when a corpus has to be downloaded first, saying what and where to put it."""
    if config.embedded is not None:
        known = [entry.name for entry in fields(EmbeddedSettings)]
        if set(config.embedded) - set(known):
            raise ConfigError(f"embedded: unknown {sorted(set(config.embedded) - set(known))}; there is {known}")
        return
    wanted = {
        config.corpus: "Fluent Speech Commands, or speech laid out like it",
        f"{config.noise}/noise_train": "MS-SNSD's noise_train, or noises named like them",
        f"{config.noise}/noise_test": "MS-SNSD's noise_test, or noises named like them",
    }
    missing = [
        f"{ROOT / path} is missing: it holds {what}" for path, what in wanted.items() if not (ROOT / path).is_dir()
    ]
    if missing:
        raise FileNotFoundError("\n".join([*missing, f"{ROOT / 'data/README.md'} says where to get each."]))


def sources(config: Config) -> tuple[Path, Path]:
    """The folders of speech and of noise that a configuration names; its embedded corpus is written first.

    Raises:
        FileNotFoundError: a corpus has to be downloaded first.
    """
    check_sources(config)
    root = ROOT / config.corpus
    if config.embedded is not None:
        ensure_embedded(root.parent, EmbeddedSettings(**config.embedded))
    return root, ROOT / config.noise


def load_data(config: Config) -> Data:
    """Read what a configuration names, writing its embedded corpus first where it has one.

    Raises:
        FileNotFoundError: a corpus has to be downloaded first.
        CorpusError: lists what is wrong with corpus or noises.
    """
    root, noise = sources(config)
    noises = {
        "train": Noises.read(noise / "noise_train", config.noise_types_train, AUDIO_CACHE),
        "test": Noises.read(noise / "noise_test", config.noise_types_test, AUDIO_CACHE),
    }
    check_disjoint(noises["train"], noises["test"])
    corpus = Corpus.read(root, AUDIO_CACHE)
    device = config.torch_device
    corpus.audio = corpus.audio.to(device)
    for part in noises.values():
        part.audio = part.audio.to(device)
    return Data(config, corpus, noises, torch.tensor(corpus.manifest.label.to_numpy(copy=True), device=device))


def write_plans(data: Data) -> dict[str, pd.DataFrame]:
    """Write ``contamination/{train,valid,test}.csv`` of a profile, with realised SNRs and gains, and return them.

    Where train's noise is drawn anew every epoch, its plan is that of the first epoch.
    """
    folder = data.config.summary / "contamination"
    folder.mkdir(parents=True, exist_ok=True)
    plans = {}
    for split in SPLITS:
        plan = data.plan(split)
        plans[split] = data.contaminator(split, plan).realise(plan)
        write_csv(folder / f"{split}.csv", plans[split])
    return plans


def export_wavs(data: Data, plans: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write the noisy corpus as 16-bit wav files in FSC layout, whole utterances, for other tools. Returns `folder`."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lengths = data.corpus.audio.lengths
    for split, plan in plans.items():
        rows = data.corpus.split(split)
        with Progress(len(plan), f"Writing {split}") as progress:
            for row in range(len(plan)):
                longest = int(lengths[plan.utterance[row]])
                noise = data.noises[NOISE_OF[split]].audio
                contaminator = Contaminator(plan, data.corpus.audio, noise, longest, data.config.mixer)
                mixture = contaminator.mix(torch.tensor([row], device=lengths.device))
                target = folder / _as_wav(plan.path[row])
                target.parent.mkdir(parents=True, exist_ok=True)
                write_wav(target, mixture.noisy[0], SAMPLE_RATE)
                progress.advance()
        table = rows[["path", "speaker", "transcription", "action", "object", "location"]].reset_index(drop=True)
        table["path"] = table.path.map(_as_wav)
        write_csv(folder / "data" / f"{split}_data.csv", table.rename(columns={"speaker": "speakerId"}).reset_index())
    return folder


def _as_wav(path: str) -> str:
    """With .wav for an ending; another one stays in the name, as a.flac and a.wav may lie side by side."""
    return path if path.endswith(".wav") else f"{path}.wav"
