"""The parameters of one experiment. Invalid values are rejected at once."""

import hashlib
import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from tyro.conf import Suppress

from jointlib import ROOT, SAMPLE_RATE, SPLITS
from jointlib.config.values import Parameters, Place, Range, Share, several
from jointlib.losses import TERMS
from jointlib.strategies import FRONTENDS, INITS, STRATEGIES, Classifier, Strategy, trainings

StrategyName = Literal[tuple(STRATEGIES)]
Blocks = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
Weights = Annotated[dict[Literal[tuple(TERMS)], NonNegativeFloat], Field(min_length=1)]
PerSplit = Annotated[dict[Literal[SPLITS], PositiveInt], Field(min_length=3)]
PerNoise = Annotated[dict[Literal["train", "test"], PositiveInt], Field(min_length=2)]
WordsPerMinute = Annotated[int, Field(ge=80, le=450)]  # the limits of espeak-ng


class EmbeddedCorpus(Parameters):
    """A synthetic corpus: its size, by default that of Fluent Speech Commands, and how it is recorded."""

    utterances: PerSplit = Field({"train": 23_132, "valid": 3_118, "test": 3_793})
    speakers: PerSplit = Field({"train": 77, "valid": 10, "test": 10})
    phrasings: PositiveInt = 8  # of each of the 31 intents, at most 8
    phrasings_of_test_only: NonNegativeInt = 0  # further ones, in the test split only
    words_per_minute: tuple[WordsPerMinute, WordsPerMinute] = (150, 220)  # slowest and fastest speaker
    recorded: bool = True  # simulate the recording conditions below; False: the synthesiser's plain output
    recording_seconds: NonNegativeFloat = 3.0  # of each recording; the command starts at a random time
    unsteadiness: NonNegativeFloat = 0.025  # standard deviation of pitch and tempo; a fifth of the level's
    microphone_db: NonNegativeFloat = 3.0  # standard deviation of the frequency response from octave to octave
    reverberation_seconds: Range = (0.1, 0.5)  # RT60 of the room
    direct_db: Range = (6.0, 18.0)  # direct-to-reverberant ratio, which depends on the talker's distance
    floor_db: Range = (20.0, 50.0)  # speech level above the noise of room and microphone
    noise_files: PerNoise = Field({"train": 12, "test": 5})  # of each type
    noise_seconds: PositiveFloat = 20.0  # length of a noise file
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _can_be_synthesised(self) -> "EmbeddedCorpus":
        if (wanted := self.phrasings + self.phrasings_of_test_only) > 8:
            raise ValueError(f"phrasings and phrasings_of_test_only: {wanted} phrasings requested, there are 8")
        return self


class Config(Parameters):
    """All parameters of one run. The defaults are the published sizes; what the paper leaves open is marked (open).

    The comment behind a field is its help in ``jointlib train --help``. A field with ``exclude`` does not affect a
    run's numbers; ``Suppress`` hides a field from the command line.
    """

    profile: str = Field(exclude=True)  # name of a profile, or path of a YAML file
    strategy: StrategyName = "jt"
    alpha: Share = 0.5  # weight of enhancement in the loss, 0 to 1; ignored where the strategy has its own
    seed: NonNegativeInt = 0  # of the weights and of the order of utterances
    init: Literal[INITS] = "scratch"  # pretrained: JT and cascade_enhanced are initialised from a trained classifier

    corpus: Place = "data/fluent_speech_commands_dataset"  # speech in the layout of Fluent Speech Commands
    noise: Place = "data/MS-SNSD"  # holds noise_train and noise_test
    embedded: Suppress[EmbeddedCorpus | None] = None  # a synthetic corpus, written beside `corpus` if it is missing
    clip_seconds: Annotated[PositiveFloat, Field(le=600)] = 4.0  # utterances are cut or zero-padded to this

    snr_db: several(float) = (0, 5, 10, 15, 20)  # (open) the default is MS-SNSD's
    snr_db_test: several(float) | None = None  # of the test split; None: the same
    mixer: Literal["exact", "ms_snsd"] = "exact"  # (open) scale the noise exactly, or as MS-SNSD's script does
    noise_types_train: several(str) | None = None  # (open) None: all; validation uses the types of training
    noise_types_test: several(str) | None = None  # (open) None: all
    fresh_noise: bool = True  # (open) draw new training noise in each epoch
    contamination_seed: NonNegativeInt = 0  # of each utterance's noise and SNR

    frontend: Literal[tuple(FRONTENDS)] | None = None  # None: the strategy's own, in the paper wave_u_net
    frontend_layers: PositiveInt = 12  # of the Wave-U-Net
    frontend_channels: PositiveInt = 24  # of the Wave-U-Net: each layer adds as many
    frontend_chunk: PositiveInt | None = None  # samples; 16384: the Wave-U-Net enhances in separate chunks
    mask_filters: tuple[PositiveInt, PositiveInt] = (320, 160)  # of the mask_net: window and hop in samples
    mask_blocks: Blocks = (64, 128, 1, 6)  # of the mask_net: channels, hidden channels, repeats, blocks in each
    tcn_channels: PositiveInt = 64  # of the classifier, as the next three
    tcn_hidden: PositiveInt = 128  # channels inside a block
    tcn_repeats: PositiveInt = 2
    tcn_blocks: PositiveInt = 5  # in each repeat
    stem: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None  # filterbank on a waveform: window, hop, bands
    mix_channels: PositiveInt = 64  # (open) of BN-Mix's convolution

    loss: Weights | None = None  # weights of the enhancement's terms; None: the strategy's own, in the paper mse 1
    gradient: Share | None = None  # share of the classification's gradient that reaches the front-end, 0 to 1
    optimizer: Literal["adam", "adamw"] = "adam"  # (open)
    learning_rate: PositiveFloat = 1e-3  # (open)
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine"] = "constant"  # (open) cosine: a warm-up, then a decay to zero
    clip_norm: PositiveFloat = 5.0  # largest norm of the gradient
    batch_size: PositiveInt = 32  # (open) utterances
    steps: PositiveInt = 145_000  # (open) of the optimiser, shared equally by all trainings that make up a run
    validate_every: PositiveInt = 725  # (open) steps; a checkpoint is written each time
    patience: PositiveInt = 20  # (open) training stops after this many validations in a row without improvement
    select: Literal["accuracy", "loss"] = "accuracy"  # (open) validation score that selects the weights
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", exclude=True)  # auto: the GPU if there is one
    bf16: bool | None = None  # train under bfloat16 autocast; None: on a GPU
    threads: PositiveInt | None = None  # of torch; a number makes CPU runs bit-reproducible
    metric_workers: PositiveInt | None = Field(None, exclude=True)  # processes that score speech; None: one per core
    results: Place = Field("results", exclude=True)  # folder

    # The values of a grid; and `variant`, the differences from the profile (NAME=VALUE,...), which `load_config` sets.
    strategies: Suppress[several(StrategyName)] = Field(tuple(STRATEGIES), exclude=True)
    alphas: Suppress[several(Share)] = Field((0.0, 0.1, 0.5, 0.9), exclude=True)
    seeds: Suppress[several(NonNegativeInt)] = Field((0,), exclude=True)
    per_strategy: Suppress[dict[StrategyName, dict[str, Any]]] = Field({}, exclude=True)  # values of its own
    variant: Suppress[str] = Field("", exclude=True)
    _given: dict[str, Any]  # before the reset of values that the strategy ignores; another may use them

    def __init__(self, **values: Any):
        super().__init__(**values)
        self._given = values

    @property
    def row(self) -> Strategy:
        """The strategy's row in `STRATEGIES`."""
        return STRATEGIES[self.strategy]

    @property
    def run_name(self) -> str:
        """Name of this run's folder: strategy, alpha, seed, and what differs from the profile."""
        alpha = f"_alpha{self.alpha:g}" if self.row.alpha is None else ""
        return shortened("_".join(filter(None, [f"{self.strategy}{alpha}_seed{self.seed}", self.variant])))

    @property
    def folder(self) -> Path:
        """The folder of everything that this profile writes."""
        return ROOT / self.results / self.profile

    @property
    def summary(self) -> Path:
        """The folder of the plans, tables, figures and report of this profile and variant."""
        return self.folder / shortened(self.variant)

    @property
    def clip_samples(self) -> int:
        """Length of a clip at 16 kHz."""
        return round(self.clip_seconds * SAMPLE_RATE)

    @property
    def own_steps(self) -> int:
        """Steps of this run's own training, without those of the runs that initialise it."""
        return max(1, self.steps // len(trainings(self.strategy, self.init)))

    @property
    def enhancement_loss(self) -> Mapping[str, float]:
        """Weights of the enhancement's terms in the loss."""
        return self.loss or self.row.loss

    @property
    def torch_device(self) -> torch.device:
        """The device asked for; auto is the GPU if there is one. RuntimeError: torch cannot use it, and says why."""
        auto = "cuda" if torch.cuda.device_count() else "cpu"  # a GPU that CUDA cannot use is an error, not a CPU
        device = torch.device(auto if self.device == "auto" else self.device)
        torch.empty(0, device=device)
        return device

    def replace(self, **changes: Any) -> "Config":
        """A validated copy with other values, which also replace those of `per_strategy`."""
        left = {row: {name: own[name] for name in own.keys() - changes} for row, own in self.per_strategy.items()}
        return Config(**(self._given | {"per_strategy": left} | changes))

    @model_validator(mode="before")
    @classmethod
    def _set_what_the_strategy_does(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Set the strategy's own values, and reset parameters that it ignores, so that equal runs have one name."""
        row, own = STRATEGIES.get(str(values.get("strategy", "jt"))), values.get("per_strategy", {})
        with suppress(AttributeError, TypeError):  # not a mapping: rejected later, as an unknown strategy or init is
            values = values | own.get(values.get("strategy", "jt"), {})
        if row is None or values.get("init", "scratch") not in INITS:
            return values
        reset: dict[str, Any] = {} if row.alpha is None else {"alpha": row.alpha}
        if not row.pretrained:
            reset["init"] = "scratch"
        if "gradient" not in inspect.signature(row.network).parameters:
            reset["gradient"] = None
        if row.network is Classifier:
            reset |= {"frontend": None, "loss": None}
        parts = [part for part in values.get("variant", "").split(",") if part.partition("=")[0] not in reset]
        return values | reset | {"variant": ",".join(parts)}

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Config":
        """Check the front-end's sizes before training: it may be built hours later, after runs that initialise it."""
        (window, hop), stride = self.mask_filters, 2**self.frontend_layers
        if window % (2 * hop):
            raise ValueError(f"mask_filters={self.mask_filters}: the hop must divide half the window")
        if self.clip_samples <= stride:  # batch norm fails in a batch of one clip
            given = f"clip_seconds={self.clip_seconds:g}, frontend_layers={self.frontend_layers}"
            raise ValueError(f"{given}: the bottleneck has one frame; a clip must be over {stride} samples at 16 kHz")
        return self


def shortened(name: str) -> str:
    """A folder's name; one too long for a file system is cut and ends in a digest. config.json has the values."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return name if len(name.encode()) <= 220 else f"{name.encode()[:200].decode(errors='ignore')}-{digest}"


def identity(config: Config) -> dict[str, Any]:
    """The parameters that determine a run's numbers, as plain JSON values."""
    return config.model_dump(mode="json")
