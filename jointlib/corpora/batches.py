"""Speech and noises of a configuration on its device, and the batches that are mixed from them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from jointlib import ROOT, SPLITS
from jointlib.config import Config
from jointlib.corpora.contaminate import Mixture, draw_plan, mix
from jointlib.corpora.corpus import NOISES, Corpus, Noises, check_disjoint
from jointlib.corpora.embedded.write import ensure_embedded
from jointlib.support.ranks import own

NOISE_OF = {"train": "train", "valid": "train", "test": "test"}  # selection must not depend on the test noises


class Batch(NamedTuple):
    """Contaminated utterances."""

    noisy: Tensor  # (B, 1, T)
    clean: Tensor  # (B, 1, T)
    labels: Tensor  # (B,)
    lengths: Tensor  # (B,), in samples, before padding
    paths: tuple[str, ...]  # of the utterances; of all processes', where several train


@dataclass
class Data:
    """Speech and noises, packed on one device."""

    config: Config
    corpus: Corpus
    noises: dict[str, Noises]

    @property
    def identity(self) -> dict[str, Any]:
        """What a run made of this depends on, beside its configuration: the intents in the order of their labels, and
        the content, a digest a part: what is said, by whom, in each split, and the noises of each folder, in order."""
        manifest = self.corpus.manifest.join(self.corpus.audio.sources.digest)
        said = manifest[["path", "speaker", "transcription", "intent", "digest"]]
        parts = {f"speech_{split}": said[manifest.split == split] for split in SPLITS}
        for name, noises in self.noises.items():
            sounds = noises.manifest.assign(name=[file.name for file in noises.manifest.file])
            parts[f"noise_{name}"] = sounds.join(noises.audio.sources.digest)[["name", "type", "digest"]]
        texts = {name: repr(part.to_numpy().tolist()) for name, part in parts.items()}
        content = {name: hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for name, text in texts.items()}
        return {"intents": self.corpus.intents, "content": content}

    def plan(self, split: str, number: int = 0) -> pd.DataFrame:
        """The contamination plan of a split; of train, the one of that pass over the utterances."""
        config = self.config
        snr_db = config.snr_db_test if split == "test" and config.snr_db_test else config.snr_db
        return draw_plan(self.corpus, split, self.noises[NOISE_OF[split]], snr_db, config.contamination_seed, number)

    def mix(self, split: str, plan: pd.DataFrame, length: int | None = None) -> Mixture:
        """Mix rows of a split's plan, utterances cut or zero-padded to `length` samples; None: to the clip's length."""
        recordings, length = self.noises[NOISE_OF[split]].audio, length or self.config.clip_samples
        noise = recordings.loops(torch.tensor(plan.noise.tolist()), torch.tensor(plan.offset.tolist()), length)
        speech, lengths = self.corpus.audio.clips(torch.tensor(plan.utterance.tolist()), length)
        snr_db = torch.tensor(plan.snr_db.tolist()).to(noise.device)
        return mix(speech, noise, lengths, snr_db, self.config.mixer)

    def batches(self, split: str, plan: pd.DataFrame | None = None, order: Tensor | None = None) -> Iterator[Batch]:
        """Mix a split's plan, or some rows of one, batch by batch; `order` (N,) has its rows' numbers, if shuffled."""
        plan = self.plan(split) if plan is None else plan
        for rows in (torch.arange(len(plan)) if order is None else order).split(self.config.batch_size):
            paths = tuple(plan.path.iloc[rows.numpy()])
            # Several processes share the training; the first one alone validates and evaluates.
            part = plan.iloc[(own(rows) if split == "train" else rows).numpy()]
            noisy, clean, lengths, *_ = self.mix(split, part)
            labels = torch.tensor(part.label.tolist()).to(noisy.device)
            yield Batch(noisy.unsqueeze(1), clean.unsqueeze(1), labels, lengths, paths)

    def train_batches(self, first: int = 0) -> Iterator[Batch]:
        """Batches of train without end, from step `first` on: every pass in an order and with noises of its own."""
        utterances, size = sum(self.corpus.manifest.split == "train"), self.config.batch_size
        done, steps = divmod(first, -(-utterances // size))
        for number in count(done):
            shuffle = torch.Generator().manual_seed(self.config.seed * 100_003 + number)
            order = torch.randperm(utterances, generator=shuffle)[steps * size :]
            yield from self.batches("train", self.plan("train", number if self.config.fresh_noise else 0), order)
            steps = 0

    def example(self, row: int | None = None) -> tuple[Tensor, Tensor, pd.Series]:
        """A row of the test plan as clean and noisy speech (T,), on the CPU and without padding, and the row itself;
        None: the first of those with the most noise. IndexError: there is no such row."""
        plan = self.plan("test")
        row = int(plan.snr_db.argmin()) if row is None else row
        batch = next(self.batches("test", plan.iloc[[row]]))
        clean, noisy = (wave[0, 0, : batch.lengths[0]].cpu() for wave in (batch.clean, batch.noisy))
        return clean, noisy, plan.iloc[row]


def sources(config: Config) -> tuple[Path, Path]:
    """The folders of speech and of noise, the embedded corpus written first. FileNotFoundError: what to download."""
    speech, noise = ROOT / config.corpus, ROOT / config.noise
    if config.embedded is not None:
        ensure_embedded(speech.parent, config.embedded.model_dump(mode="json"))
    missing = [str(folder) for folder in (speech, *(noise / name for name in NOISES)) if not folder.is_dir()]
    if missing:
        raise FileNotFoundError(f"{', '.join(missing)}: missing; {ROOT / 'data/README.md'} says where to get them")
    return speech, noise


def load_data(config: Config) -> Data:
    """Read the `sources` onto the configuration's device. CorpusError lists what is wrong with them."""
    device = config.torch_device  # before anything is written or read
    speech, noise = sources(config)
    train = Noises.read(noise / "noise_train", config.noise_types_train)
    test = Noises.read(noise / "noise_test", config.noise_types_test)
    check_disjoint(train, test)
    corpus = Corpus.read(speech, config.clip_seconds)
    for part in (train, test, corpus):
        part.audio.samples = part.audio.samples.to(device)
    return Data(config, corpus, {"train": train, "test": test})
