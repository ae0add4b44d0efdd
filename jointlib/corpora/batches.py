"""What a run reads: speech and noises of its configuration on the device, and batches mixed from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from jointlib import SAMPLE_RATE, SPLITS
from jointlib.config import ROOT, Config
from jointlib.corpora.contaminate import Contaminator, draw_plan
from jointlib.corpora.corpus import Corpus
from jointlib.corpora.embedded.write import ensure_embedded
from jointlib.corpora.noises import Noises, check_disjoint
from jointlib.support.files import write_csv, write_wav
from jointlib.support.progress import Progress
from jointlib.train import Batch

AUDIO_CACHE = ROOT / "data/cache"
NOISE_OF = {"train": "train", "valid": "train", "test": "test"}  # validation must not hear the test noises


@dataclass
class Data:
    """Speech and noises, packed on one device."""

    config: Config
    corpus: Corpus
    noises: dict[str, Noises]
    labels: Tensor

    def plan(self, split: str, number: int = 0) -> pd.DataFrame:
        """The contamination plan of a split; of train, the one of that pass over the utterances."""
        config = self.config
        snr_db = config.snr_db_test if split == "test" and config.snr_db_test else config.snr_db
        return draw_plan(self.corpus, split, self.noises[NOISE_OF[split]], snr_db, config.contamination_seed, number)

    def contaminator(self, split: str, plan: pd.DataFrame) -> Contaminator:
        """The mixer of a plan's rows."""
        noise = self.noises[NOISE_OF[split]].audio
        return Contaminator(plan, self.corpus.audio, noise, self.config.clip_samples, self.config.mixer)

    def batches(self, split: str, plan: pd.DataFrame | None = None) -> Iterator[Batch]:
        """Mix a split's plan, or some rows of one, batch by batch."""
        plan = self.plan(split) if plan is None else plan
        yield from self._mix(split, plan, torch.arange(len(plan)))

    def train_batches(self, first: int = 0) -> Iterator[Batch]:
        """Batches of train without end, from step `first` on: every pass in an order and with noises of its own."""
        utterances, size = len(self.corpus.split("train")), self.config.batch_size
        done, steps = divmod(first, -(-utterances // size))
        for number in count(done):
            shuffle = torch.Generator().manual_seed(self.config.seed * 100_003 + number)
            order = torch.randperm(utterances, generator=shuffle)[steps * size :]
            yield from self._mix("train", self.plan("train", number if self.config.fresh_noise else 0), order)
            steps = 0

    def _mix(self, split: str, plan: pd.DataFrame, order: Tensor) -> Iterator[Batch]:
        contaminator, paths = self.contaminator(split, plan), plan.path.tolist()
        for rows in order.split(self.config.batch_size):
            names = tuple(paths[row] for row in rows.tolist())
            rows = rows.to(self.labels.device)
            mixture = contaminator.mix(rows)
            labels = self.labels[contaminator.utterance[rows]]
            yield Batch(mixture.noisy.unsqueeze(1), mixture.clean.unsqueeze(1), labels, mixture.lengths, names)

    def described(self, split: str) -> pd.DataFrame:
        """A row per utterance of a split's plan: path, noise_type, snr_db, speaker, intent."""
        plan = self.plan(split)
        rows = self.corpus.manifest.loc[plan.utterance, ["speaker", "intent"]].reset_index(drop=True)
        return pd.concat([plan[["path", "noise_type", "snr_db"]], rows], axis=1)


def check_sources(config: Config) -> None:
    """Raise FileNotFoundError when a corpus has to be downloaded first, saying what and where to put it."""
    if config.embedded is not None:
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
        ensure_embedded(root.parent, config.embedded)
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
    for holder in (corpus, *noises.values()):
        holder.audio = holder.audio.to(device)
    return Data(config, corpus, noises, torch.tensor(corpus.manifest.label.to_numpy(copy=True), device=device))


def write_plans(data: Data) -> dict[str, pd.DataFrame]:
    """Write ``contamination/{train,valid,test}.csv`` of a profile, with realised SNRs and gains, and return them.

    Where train's noise is drawn anew for every pass, its plan is that of the first.
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
        noise = data.noises[NOISE_OF[split]].audio
        with Progress(len(plan), f"Writing {split}") as progress:
            for row in progress.over(range(len(plan))):
                longest = int(lengths[plan.utterance[row]])
                contaminator = Contaminator(plan, data.corpus.audio, noise, longest, data.config.mixer)
                mixture = contaminator.mix(torch.tensor([row], device=lengths.device))
                target = folder / _as_wav(plan.path[row])
                target.parent.mkdir(parents=True, exist_ok=True)
                write_wav(target, mixture.noisy[0], SAMPLE_RATE)
        columns = ["path", "speaker", "transcription", "action", "object", "location"]
        table = data.corpus.split(split)[columns].reset_index(drop=True)
        table["path"] = table.path.map(_as_wav)
        write_csv(folder / "data" / f"{split}_data.csv", table.rename(columns={"speaker": "speakerId"}).reset_index())
    return folder


def _as_wav(path: str) -> str:
    """With .wav for an ending; another one stays in the name, as a.flac and a.wav may lie side by side."""
    return path if path.endswith(".wav") else f"{path}.wav"
