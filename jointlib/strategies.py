"""How front-end and back-end are joined: small networks, and one table of everything that can be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.losses import PAPER, SPECTRAL
from jointlib.masknet import MaskNet
from jointlib.tcn import TCN
from jointlib.waveunet import WaveUNet

FRONTENDS: dict[str, type[nn.Module]] = {"wave_u_net": WaveUNet, "mask_net": MaskNet}


class JointOutput(NamedTuple):
    """enhanced (B, 1, T) and logits (B, classes); None where a network lacks the part that makes it."""

    enhanced: Tensor | None
    logits: Tensor | None


def build_frontend(kind: str = "wave_u_net", **sizes: Any) -> nn.Module:
    """One of `FRONTENDS`: a network that maps a wave to an enhanced wave and to its bottleneck."""
    return FRONTENDS[kind](**sizes)


def scale_gradient(x: Tensor, share: float) -> Tensor:
    """The same numbers; their gradient arrives times `share`, 0 to 1."""
    return x if share == 1 else x.detach() if share == 0 else x.detach() + share * (x - x.detach())


class Classifier(nn.Module):
    """The back-end alone, on the wave. All take the arguments of front-end and TCN; none: as published."""

    waves = 1  # that the back-end reads

    def __init__(self, backend: Mapping[str, Any] = {}):
        super().__init__()
        self.backend = TCN(1, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        return JointOutput(None, self.backend(wave))


class Enhancer(nn.Module):
    """The front-end alone."""

    waves = 0

    def __init__(self, frontend: Mapping[str, Any] = {}):
        super().__init__()
        self.frontend = build_frontend(**frontend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(wave)
        return JointOutput(enhanced, None)


class JT(nn.Module):
    """JT: the back-end classifies the enhanced wave, so that its gradient reaches all of the front-end.

    `gradient` is the share of the classification's gradient that does: 1 in the paper, 0 protects the front-end.
    """

    waves = 1

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}, gradient: float = 1.0):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        self.backend = TCN(self.waves, **backend)
        self.gradient = gradient

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(wave)
        return JointOutput(enhanced, self.backend(self.classified(scale_gradient(enhanced, self.gradient), wave)))

    def classified(self, enhanced: Tensor, noisy: Tensor) -> Tensor:
        """What the back-end reads."""
        return enhanced


class DualView(JT):
    """Not in the paper: the back-end classifies the enhanced and the noisy wave, side by side, so that what enhancement
    destroys is not lost to it."""

    waves = 2

    def classified(self, enhanced: Tensor, noisy: Tensor) -> Tensor:
        return torch.cat([enhanced, noisy], dim=1)


class Observed(JT):
    """Not in the paper: observation adding (Iwamoto et al. 2022). The back-end classifies the enhanced wave, to which
    the noisy one is added back with a weight chosen on the validation split; what is heard stays as it is."""

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}):
        super().__init__(frontend, backend)
        self.observation = nn.Buffer(torch.tensor(0.0))  # 0: enhanced alone, 1: noisy alone

    def classified(self, enhanced: Tensor, noisy: Tensor) -> Tensor:
        return torch.lerp(enhanced, noisy, self.observation)


class BN(nn.Module):
    """BN: the back-end classifies the front-end's bottleneck, so that its gradient reaches the encoder only."""

    waves = 0

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        self.backend = TCN(self.frontend.bottleneck_channels, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)
        return JointOutput(enhanced, self.backend(bottleneck))


class BNMix(nn.Module):
    """BN-Mix: the back-end classifies the bottleneck, concatenated with one 1-D convolution of the noisy wave.

    The paper does not give its size. Here its window and stride are the bottleneck's, so that their frames coincide.
    """

    waves = 0

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}, mix_channels: int = 64):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        stride = self.frontend.stride
        self.wave_filter = nn.Conv1d(1, mix_channels, kernel_size=stride, stride=stride)
        self.backend = TCN(self.frontend.bottleneck_channels + mix_channels, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)  # bottleneck (B, C, F)
        missing = bottleneck.shape[-1] * self.frontend.stride - wave.shape[-1]
        filtered = self.wave_filter(F.pad(wave, (0, missing)))  # (B, mix_channels, F)
        return JointOutput(enhanced, self.backend(torch.cat([bottleneck, filtered], dim=1)))


@dataclass(frozen=True)
class Strategy:
    """A row of the table below."""

    title: str  # how tables and figures name it
    network: type[nn.Module]  # one of the modules above
    train_input: str = "noisy"  # or clean
    test_input: str = "noisy"
    alpha: float | None = None  # the weight of enhancement in the loss; None: the experiment's parameter
    loads: Mapping[str, str] = field(default_factory=dict)  # part -> strategy whose run it always starts from
    frozen: tuple[str, ...] = ()  # parts that are not trained
    pretrained: Mapping[str, str] = field(default_factory=dict)  # part -> the same, with init="pretrained"
    frontend: str = "wave_u_net"  # one of FRONTENDS
    loss: Mapping[str, float] = field(default_factory=lambda: PAPER)  # weights of the enhancement's terms
    gradient: float = 1.0  # share of the classification's gradient that reaches the front-end
    published: bool = True  # in the paper, or made of its parts


def _beyond(title: str, network: type[nn.Module], alpha: float = 0.5, **others: Any) -> Strategy:
    return Strategy(title, network, alpha=alpha, published=False, **{"loss": SPECTRAL, **others})


_CLASSIFIER = {"backend": "classifier_clean"}
_ENHANCER = {"frontend": "enhancement"}
_BOTH = ("frontend", "backend")
_MASK = {"frontend": "mask"}
_PROTECTED = dict.fromkeys(_BOTH, "protected")

STRATEGIES: dict[str, Strategy] = {
    "classifier_clean": Strategy("Classifier, clean", Classifier, train_input="clean", alpha=0.0),
    "classifier_noisy": Strategy("Classifier, noisy", Classifier, alpha=0.0),
    "enhancement": Strategy("Enhancement alone", Enhancer, alpha=1.0),
    "cascade_clean": Strategy("Cascade, clean", JT, alpha=0.0, loads=_ENHANCER | _CLASSIFIER, frozen=_BOTH),
    "cascade_enhanced": Strategy(
        "Cascade, enhanced", JT, alpha=0.0, loads=_ENHANCER, frozen=("frontend",), pretrained=_CLASSIFIER
    ),
    "jt": Strategy("JT", JT, pretrained=_CLASSIFIER),
    "jt_clean": Strategy("JT-Clean", JT, train_input="clean", test_input="clean", pretrained=_CLASSIFIER),
    "bn": Strategy("BN", BN),
    "bn_mix": Strategy("BN-Mix", BNMix),
    # Beyond the paper, one change at a time: the loss, the front-end, its protection, a second view.
    "jt_spectral": _beyond("JT, spectral loss", JT),
    "mask": _beyond("Mask alone", Enhancer, alpha=1.0, frontend="mask_net"),
    "cascade_mask": _beyond(
        "Cascade, mask", JT, alpha=0.0, frontend="mask_net", loads=_MASK | _CLASSIFIER, frozen=_BOTH
    ),
    "cascade_mask_enhanced": _beyond(
        "Cascade, mask, enhanced",
        JT,
        alpha=0.0,
        frontend="mask_net",
        loads=_MASK,
        frozen=("frontend",),
        pretrained=_CLASSIFIER,
    ),
    "jt_mask": _beyond("JT, mask", JT, frontend="mask_net"),
    "bn_mask": _beyond("BN, mask", BN, frontend="mask_net"),
    # shielded: a tenth of the classification's gradient reaches the front-end; protected: none
    "shielded": _beyond("Shielded JT", JT, frontend="mask_net", gradient=0.1),
    "protected": _beyond("Protected JT", JT, frontend="mask_net", gradient=0.0),
    "observed": _beyond("Observation adding", Observed, frontend="mask_net", loads=_PROTECTED, frozen=_BOTH),
    "dual": _beyond("Dual view", DualView, frontend="mask_net", gradient=0.0),
}
INITS = ("scratch", "pretrained")


def parents(strategy: Strategy, init: str) -> dict[str, str]:
    """Which part starts from which strategy's run: what the row `loads`, and with "pretrained" what it names there."""
    return {**(strategy.pretrained if init == "pretrained" else {}), **strategy.loads}


def trainings(name: str, init: str) -> set[str]:
    """The strategies whose training a row is made of: its own, and those of what it starts from."""
    row = STRATEGIES[name]
    before = [trainings(parent, "scratch") for parent in parents(row, init).values()]
    return set().union(*before) | ({name} if row.frozen != _BOTH else set())


def freeze(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    """Take the gradient from some parts; see `set_training` for their batch-norm statistics."""
    for part in parts:
        getattr(model, part).requires_grad_(False)
    return model


def set_training(model: nn.Module) -> nn.Module:
    """Put a network into training mode, but for frozen parts, whose batch-norm statistics stand still."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
    return model
