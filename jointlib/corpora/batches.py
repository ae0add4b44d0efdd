"""What a run reads: speech and noises of its configuration on the device, and batches mixed from them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.config import ROOT, Config
from jointlib.corpora.contaminate import Contaminator, draw_plan
from jointlib.corpora.corpus import Corpus, CorpusError, in_words
from jointlib.corpora.embedded.write import ensure_embedded
from jointlib.corpora.noises import Noises, check_disjoint
from jointlib.corpora.packed import StreamedAudio
from jointlib.support.files import write_csv, write_wav
from jointlib.support.progress import Progress
from jointlib.support.ranks import own
from jointlib.support.workers import ahead
from jointlib.train import Batch

AUDIO_CACHE = ROOT / "data/cache"
NOISE_OF = {"train": "train", "valid": "train", "test": "test"}  # selection must not depend on the test noises


class Example(NamedTuple):
    """One utterance of the test plan: clean and noisy (T,) on the CPU, without padding, and what is known of it."""

    clean: Tensor
    noisy: Tensor
    about: pd.Series  # path, noise_type, snr_db, speaker, intent, transcription


@dataclass
class Data:
    """Speech and noises, packed on one device."""

    config: Config
    corpus: Corpus
    noises: dict[str, Noises]
    labels: Tensor

    @property
    def identity(self) -> dict[str, Any]:
        """What a run made of this depends on, beside its configuration: the intents in the order of their labels, and
        the content, a digest a part: what is said, by whom, in each split, and the noises of each folder, in order."""
        manifest = self.corpus.manifest.join(self.corpus.audio.sources.digest)
        said = manifest[["path", "speaker", "transcription", "intent", "digest"]]
        content = {f"speech_{split}": _digest(said[manifest.split == split]) for split in SPLITS}
        for name, noises in self.noises.items():
            sounds = noises.manifest.assign(name=[file.name for file in noises.manifest.file])
            content[f"noise_{name}"] = _digest(sounds.join(noises.audio.sources.digest)[["name", "type", "digest"]])
        return {"intents": self.corpus.intents, "content": content}

    def plan(self, split: str, number: int = 0) -> pd.DataFrame:
        """The contamination plan of a split; of train, the one of that pass over the utterances."""
        config = self.config
        snr_db = config.snr_db_test if split == "test" and config.snr_db_test else config.snr_db
        return draw_plan(self.corpus, split, self.noises[NOISE_OF[split]], snr_db, config.contamination_seed, number)

    def contaminator(self, split: str, plan: pd.DataFrame) -> Contaminator:
        """The mixer of a plan's rows."""
        noise = self.noises[NOISE_OF[split]].audio
        return Contaminator(plan, self.corpus.audio, noise, self.config.clip_samples, self.config.mixer)

    def batches(self, split: str, plan: pd.DataFrame | None = None, order: Tensor | None = None) -> Iterator[Batch]:
        """Mix a split's plan, or some rows of one, batch by batch; `order` (N,) has its rows' numbers, if shuffled.

        Speech that stays in its file is read while the batch before is used.
        """
        mixed = self._mixed(split, self.plan(split) if plan is None else plan, order)
        return ahead(mixed) if isinstance(self.corpus.audio, StreamedAudio) else mixed

    def _mixed(self, split: str, plan: pd.DataFrame, order: Tensor | None) -> Iterator[Batch]:
        contaminator, rows = self.contaminator(split, plan), torch.arange(len(plan)) if order is None else order
        for some in rows.split(self.config.batch_size):
            paths, some = tuple(plan.path.iloc[some.numpy()]), some if split == "test" else own(some)  # one tests alone
            noisy, clean, lengths, *_ = contaminator.mix(some)
            labels = self.labels[contaminator.utterance[some].to(self.labels.device, non_blocking=True)]
            yield Batch(noisy.unsqueeze(1), clean.unsqueeze(1), labels, lengths, paths)

    def train_batches(self, first: int = 0) -> Iterator[Batch]:
        """Batches of train without end, from step `first` on: every pass in an order and with noises of its own."""
        utterances, size = len(self.corpus.split("train")), self.config.batch_size
        done, steps = divmod(first, -(-utterances // size))
        for number in count(done):
            shuffle = torch.Generator().manual_seed(self.config.seed * 100_003 + number)
            order = torch.randperm(utterances, generator=shuffle)[steps * size :]
            yield from self.batches("train", self.plan("train", number if self.config.fresh_noise else 0), order)
            steps = 0

    def example(self, row: int | None = None) -> Example:
        """A row of the test plan; None: the first of those with the most noise. IndexError: there is no such row."""
        plan = self.plan("test")
        row = int(plan.snr_db.argmin()) if row is None else row
        batch = next(self.batches("test", plan.iloc[[row]].reset_index(drop=True)))
        clean, noisy = (wave[0, 0, : batch.lengths[0]].cpu() for wave in (batch.clean, batch.noisy))
        return Example(clean, noisy, self.described("test").iloc[row])

    def described(self, split: str) -> pd.DataFrame:
        """A row per utterance of a split's plan: path, noise_type, snr_db, speaker, intent, transcription."""
        plan = self.plan(split)[["utterance", "path", "noise_type", "snr_db"]]
        return plan.join(self.corpus.manifest[["speaker", "intent", "transcription"]], on="utterance").drop(
            columns="utterance"
        )


def _digest(table: pd.DataFrame) -> str:
    return hashlib.blake2b(repr(table.to_numpy().tolist()).encode(), digest_size=8).hexdigest()


def check_sources(config: Config) -> None:
    """Raise FileNotFoundError when a corpus has to be downloaded first, saying what and where to put it."""
    wanted = {ROOT / config.corpus: "Fluent Speech Commands, or speech laid out like it"}
    for name in ("noise_train", "noise_test"):
        wanted[ROOT / config.noise / name] = f"MS-SNSD's {name}, or noises named like them"
    missing = [f"{folder} is missing: it holds {what}" for folder, what in wanted.items() if not folder.is_dir()]
    if missing and config.embedded is None:
        raise FileNotFoundError("\n".join([*missing, f"{ROOT / 'data/README.md'} says where to get each."]))


def sources(config: Config) -> tuple[Path, Path]:
    """The folders of speech and of noise, the embedded corpus written first; raises as `check_sources` does."""
    check_sources(config)
    if config.embedded is not None:
        ensure_embedded((ROOT / config.corpus).parent, config.embedded)
    return ROOT / config.corpus, ROOT / config.noise


def load_data(config: Config) -> Data:
    """Read the `sources` onto the configuration's device. Raises CorpusError, which lists what is wrong with them,
    and ConfigError: there is a GPU that cannot be used."""
    device = config.torch_device  # before anything is written or read
    root, noise = sources(config)
    train = Noises.read(noise / "noise_train", config.noise_types_train, AUDIO_CACHE)
    test = Noises.read(noise / "noise_test", config.noise_types_test, AUDIO_CACHE)
    check_disjoint(train, test)
    corpus = Corpus.read(root, AUDIO_CACHE)
    silent = corpus.manifest.join(corpus.audio.sources.onset).query("onset >= @config.clip_seconds")
    if len(silent):  # an SNR means nothing in them
        wrong = f"silent for {{onset:.2f}} s, so that a clip of {config.clip_seconds} s has no speech; trim it"
        raise CorpusError(root, in_words(silent, wrong))
    for noises in (train, test):
        noises.audio = noises.audio.to(device)
    budget = config.speech_memory_gb
    streamed = budget is not None and int(corpus.audio.lengths.sum()) * 2 > budget * 1e9
    corpus.audio = StreamedAudio(corpus.audio, device) if streamed else corpus.audio.to(device)
    labels = torch.tensor(corpus.manifest.label.to_numpy(copy=True), device=device)
    return Data(config, corpus, {"train": train, "test": test}, labels)


def write_plans(data: Data) -> dict[str, pd.DataFrame]:
    """Write ``contamination/{train,valid,test}.csv`` with realised SNRs (train's first pass), and return them."""
    folder, plans = data.config.summary / "contamination", {}
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        plan = data.plan(split)
        plans[split] = data.contaminator(split, plan).realise(plan)
        write_csv(folder / f"{split}.csv", plans[split])
    return plans


def export_wavs(data: Data, plans: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write the noisy corpus as 16-bit wav files in FSC layout, whole utterances, for other tools. Returns `folder`."""
    for split, plan in plans.items():
        contaminator, lengths = data.contaminator(split, plan), data.corpus.audio.lengths[plan.utterance.tolist()]
        table = data.corpus.manifest.loc[plan.utterance].rename(columns={"speaker": "speakerId"})[list(COLUMNS)]
        table["path"] = table.path.str.removesuffix(".wav") + ".wav"  # a.flac.wav, as there may be an a.wav as well
        with Progress(len(plan), f"Writing {split}") as progress:
            for row, path in progress.over(enumerate(table.path)):
                mixture = contaminator.mix(torch.tensor([row]), int(lengths[row]))
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                write_wav(folder / path, mixture.noisy[0], SAMPLE_RATE)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        write_csv(folder / "data" / f"{split}_data.csv", table.reset_index(drop=True).reset_index())
    return folder
