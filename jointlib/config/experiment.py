"""The parameters of one experiment. A value that cannot be is an error at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from jointlib import SAMPLE_RATE
from jointlib.config.embedded import EmbeddedCorpus
from jointlib.config.places import ROOT
from jointlib.config.values import (
    ClipSeconds,
    ConfigError,
    Doublings,
    Names,
    NotNegative,
    Numbers,
    Positive,
    Processors,
    Seed,
    Share,
    Steps,
    Width,
    Window,
    in_words,
    several,
    up_to,
    without,
)
from jointlib.losses import TERMS
from jointlib.strategies import FRONTENDS, INITS, JT, STRATEGIES, Classifier, Strategy, trainings

__all__ = ["Config", "ignored"]
StrategyName = Literal[tuple(STRATEGIES)]


class Config(BaseModel):
    """All parameters of one run. The defaults are the published sizes; what the paper leaves open is marked (open)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    profile: str = Field(exclude=True)  # exclude: what does not decide a run's numbers
    strategy: StrategyName = "jt"
    alpha: Share = 0.5  # weight of enhancement in the loss; strategies with a weight of their own ignore it
    seed: Seed = 0
    init: Literal[INITS] = "scratch"  # what starts from a separately trained run, see `strategies.parents`

    corpus: str = "data/fluent_speech_commands_dataset"
    noise: str = "data/MS-SNSD"  # holds noise_train and noise_test
    embedded: EmbeddedCorpus | None = None  # written to `corpus`'s parent when missing
    clip_seconds: ClipSeconds = 4.0  # utterances are cut or zero-padded to this

    snr_db: Numbers = (0, 5, 10, 15, 20)  # (open) MS-SNSD's own configuration
    snr_db_test: Numbers | None = None  # None: the same
    mixer: Literal["exact", "ms_snsd"] = "exact"  # (open)
    noise_types_train: Names | None = None  # (open) None: all there are; valid uses train's
    noise_types_test: Names | None = None
    fresh_noise: bool = True  # (open) draw train's noise anew for every pass over the utterances
    contamination_seed: Seed = 0

    frontend: Literal[tuple(FRONTENDS)] | None = None  # None: the strategy's own, in the paper wave_u_net
    frontend_layers: Doublings = 12  # of the Wave-U-Net, and the next two
    frontend_channels: up_to(128) = 24
    frontend_chunk: up_to(2**20) | None = None  # samples; 16384 enhances in separate chunks
    mask_filters: tuple[Window, Window] = (320, 160)  # of the mask_net: window and hop in samples
    mask_blocks: tuple[Width, Width, Doublings, Doublings] = (64, 128, 1, 6)  # channels, hidden, repeats, blocks
    tcn_channels: Width = 64
    tcn_hidden: Width = 128
    tcn_repeats: Doublings = 2
    tcn_blocks: Doublings = 5
    stem: tuple[Window, Window, Width] | None = None  # (window, hop, bands) in samples, of a classifier on the wave
    mix_channels: up_to(256) = 64  # (open) width of BN-Mix's convolution

    loss: Annotated[dict[Literal[tuple(TERMS)], NotNegative], Field(min_length=1)] | None = None  # weights of the
    # enhancement's terms; None: the strategy's own, in the paper {mse: 1}
    gradient: Share | None = None  # of the classification, that reaches the front-end; None: the strategy's own
    train_input: Literal["clean", "noisy"] | None = None  # None: the strategy's own
    test_input: Literal["clean", "noisy"] | None = None
    optimizer: Literal["adam", "adamw"] = "adam"  # (open)
    learning_rate: Positive = 1e-3  # (open)
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine"] = "constant"  # (open) cosine: a warm-up, then a decay to zero
    clip_norm: Positive = 5.0  # of the gradient
    batch_size: Width = 32  # (open)
    steps: Steps = 145_000  # (open) of the optimiser, in all trainings that a run is made of, which share them
    # equally; about 200 passes over Fluent Speech Commands
    validate_every: Steps = 725  # (open) steps; a checkpoint is written each time
    patience: Steps = 20  # (open) validations in a row without a better one end the training
    select: Literal["accuracy", "loss"] = "accuracy"  # (open) what makes a validation the best
    device: str = Field("auto", exclude=True)  # the GPU if there is one; cpu, cuda, cuda:1
    bf16: bool | None = None  # autocast to bfloat16 in training; None: on a GPU
    checkpointing: bool = Field(False, exclude=True)  # of the classifier: less memory and more time, the same numbers
    speech_memory_gb: Positive | None = Field(None, exclude=True)  # larger speech is left in its file and read batch by
    # batch, one ahead of training, the same numbers; None: on the device, or on a CPU mapped into memory
    threads: Processors | None = None  # of torch; a number makes CPU runs repeat to the last bit
    metric_workers: Processors | None = Field(None, exclude=True)  # processes that score speech; None: one per core

    strategies: Annotated[tuple[StrategyName, ...], several, Field(min_length=1, exclude=True)] = tuple(STRATEGIES)
    alphas: Annotated[tuple[Share, ...], several, Field(min_length=1, exclude=True)] = (0.0, 0.1, 0.5, 0.9)  # the grid
    seeds: Annotated[tuple[Seed, ...], several, Field(min_length=1, exclude=True)] = (0,)
    results: str = Field("results", exclude=True)
    variant: str = Field("", exclude=True)  # what differs from the profile, NAME=VALUE by commas; `load_config` sets it

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(_told(entry) for entry in error.errors()[:5])) from None

    @property
    def run_name(self) -> str:
        """Name of this run's folder: strategy, alpha, seed, and what differs from the profile."""
        alpha = f"_alpha{self.alpha:g}" if STRATEGIES[self.strategy].alpha is None else ""
        return "_".join([f"{self.strategy}{alpha}_seed{self.seed}", *([self.variant] if self.variant else [])])

    @property
    def folder(self) -> Path:
        """Where everything of this profile is written."""
        return ROOT / self.results / self.profile

    @property
    def summary(self) -> Path:
        """Where plans, tables, figures and the report of this profile and variant are written."""
        return self.folder / self.variant

    @property
    def synthesises_noise(self) -> bool:
        """Whether the noise is that of the embedded corpus; speech of it can also be mixed with the user's own."""
        beside = (ROOT / self.corpus).parent / "MS-SNSD"
        return self.embedded is not None and (ROOT / self.noise).resolve() == beside.resolve()

    @property
    def clip_samples(self) -> int:
        """Length of a clip at 16 kHz."""
        return round(self.clip_seconds * SAMPLE_RATE)

    @property
    def own_steps(self) -> int:
        """The steps of this run's own training: what it starts from has had the others."""
        return max(1, self.steps // len(trainings(self.strategy, self.init)))

    @property
    def enhances_by(self) -> str:
        """The front-end: wave_u_net or mask_net."""
        return self.frontend or STRATEGIES[self.strategy].frontend

    @property
    def enhancement_loss(self) -> Mapping[str, float]:
        """The weights of the enhancement's terms in the loss."""
        return self.loss or STRATEGIES[self.strategy].loss

    @property
    def trained_on(self) -> str:
        """The wave that the network is trained and validated on: clean or noisy."""
        return self.train_input or STRATEGIES[self.strategy].train_input

    @property
    def tested_on(self) -> str:
        """The wave that the network is tested on: clean or noisy."""
        return self.test_input or STRATEGIES[self.strategy].test_input

    @property
    def torch_device(self) -> torch.device:
        """The device asked for; auto is the GPU if there is one. ConfigError: there is one that torch cannot use."""
        usable = torch.cuda.is_available()
        if self.device == "auto" and not usable and torch.cuda.device_count():  # NVML counts them without CUDA
            try:
                torch.cuda.init()
                reason = "torch does not say why"
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"device='auto': there is a GPU that torch cannot use ({reason}); device=cpu does without"
            )
        auto = "cuda" if usable else "cpu"
        return torch.device(auto if self.device == "auto" else self.device)

    def replace(self, **changes: Any) -> "Config":
        """A copy with other values, checked."""
        return Config(**(dict(self) | changes))

    @model_validator(mode="before")
    @classmethod
    def _without_what_the_strategy_ignores(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An alpha, a start, a front-end, a loss or a share of the gradient that changes nothing makes no other run."""
        row = STRATEGIES.get(str(values.get("strategy", "jt")))
        if row is None or values.get("init", "scratch") not in INITS or not isinstance(values.get("variant", ""), str):
            return values  # to be refused
        meant = ignored(row)
        own = {} if row.alpha is None else {"alpha": row.alpha}
        return values | own | meant | {"variant": without(values.get("variant", ""), meant)}

    @field_validator("device")
    @classmethod
    def _there_is_such_a_device(cls, name: str) -> str:
        form = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,3}))?", name)
        if form is None:
            raise ValueError("must be auto, cpu or cuda")
        seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name.startswith("cuda") and int(form[1] or 0) >= seen:
            raise ValueError(f"torch sees {seen or 'no'} GPU here; auto takes the first, or the CPU if there is none")
        return name

    @field_validator("profile", "variant")
    @classmethod
    def _results_stay_in_their_folder(cls, name: str) -> str:
        if name in (".", "..") or {"/", "\0"} & set(name):
            raise ValueError("must be a name that a folder can have")
        return name

    @model_validator(mode="after")
    def _a_batch_fits(self) -> "Config":
        if (samples := self.batch_size * self.clip_samples) > 2**28:  # a gigabyte, and again for each channel
            both = f"batch_size={self.batch_size}, clip_seconds={self.clip_seconds:g}"
            raise ValueError(f"{both}: together {samples:,} samples, must be at most {2**28:,}")
        return self

    @model_validator(mode="after")
    def _loss_has_a_filterbank_to_mimic(self) -> "Config":
        network = STRATEGIES[self.strategy].network
        if "mimic" in self.enhancement_loss and not (self.stem and network.waves == 1):
            raise ValueError(
                f"loss: mimic needs a stem, and a back-end that classifies a wave; {self.strategy} lacks one"
            )
        return self

    @model_validator(mode="after")
    def _hop_divides_half_the_window(self) -> "Config":
        window, hop = self.mask_filters
        if window % (2 * hop):
            raise ValueError(f"mask_filters={self.mask_filters}: the hop must divide half the window")
        return self

    @model_validator(mode="after")
    def _chunks_hold_whole_frames(self) -> "Config":
        chunk, stride = self.frontend_chunk, 2**self.frontend_layers
        if chunk is not None and chunk % stride:
            raise ValueError(f"frontend_chunk={chunk}: must be a multiple of {stride}, 2 ** frontend_layers")
        return self


def ignored(row: Strategy) -> dict[str, Any]:
    """The parameters that mean nothing to a strategy, at the value that its runs have."""
    found: dict[str, Any] = {} if row.pretrained else {"init": "scratch"}
    if not issubclass(row.network, JT):
        found["gradient"] = None
    if row.network is Classifier:
        found |= {"frontend": None, "loss": None}
    return found


def _told(error: dict[str, Any]) -> str:
    owner = Config if len(error["loc"]) == 1 else EmbeddedCorpus
    return in_words(error, owner.model_fields)
