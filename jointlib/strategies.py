"""How front-end and back-end are connected: the networks, and one table of all strategies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.losses import PAPER, SPECTRAL
from jointlib.masknet import MaskNet
from jointlib.tcn import TCN
from jointlib.waveunet import WaveUNet

FRONTENDS: dict[str, type[nn.Module]] = {"wave_u_net": WaveUNet, "mask_net": MaskNet}
Sizes = Mapping[str, Any]  # keyword arguments of a front-end or of TCN
PUBLISHED: Sizes = MappingProxyType({})  # their defaults are the published sizes


class JointOutput(NamedTuple):
    """enhanced (B, 1, T) and logits (B, classes); None where a network lacks the part that computes it."""

    enhanced: Tensor | None
    logits: Tensor | None


def build_frontend(kind: str = "wave_u_net", **sizes: Any) -> nn.Module:
    """One of `FRONTENDS`: a network that maps a waveform to an enhanced waveform and to its bottleneck."""
    return FRONTENDS[kind](**sizes)


def scale_gradient(x: Tensor, share: float) -> Tensor:
    """Return `x`, and multiply its gradient by `share`, 0 to 1, in the backward pass."""
    return torch.lerp(x.detach(), x, share)


class Classifier(nn.Module):
    """The back-end alone, on the waveform."""

    def __init__(self, backend: Sizes = PUBLISHED):
        super().__init__()
        self.backend = TCN(1, **backend)

    def classify(self, waveform: Tensor) -> Tensor:
        """Logits (B, classes) of a waveform (B, 1, T). A network has this method if its back-end takes a waveform."""
        return self.backend(waveform)

    def forward(self, waveform: Tensor) -> JointOutput:
        return JointOutput(None, self.classify(waveform))


class Enhancer(nn.Module):
    """The front-end alone."""

    def __init__(self, frontend: Sizes = PUBLISHED):
        super().__init__()
        self.frontend = build_frontend(**frontend)

    def forward(self, waveform: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(waveform)
        return JointOutput(enhanced, None)


class JT(nn.Module):
    """JT: the back-end classifies the enhanced waveform, so that its gradient reaches all of the front-end.

    `gradient` scales the classification's gradient into the front-end: 1 in the paper, 0 for a detached cascade.
    """

    def __init__(self, frontend: Sizes = PUBLISHED, backend: Sizes = PUBLISHED, gradient: float = 1.0):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        self.backend = TCN(1, **backend)
        self.gradient = gradient

    def classify(self, waveform: Tensor) -> Tensor:
        """As `Classifier`."""
        return self.backend(waveform)

    def forward(self, waveform: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(waveform)
        return JointOutput(enhanced, self.classify(scale_gradient(enhanced, self.gradient)))


class BN(nn.Module):
    """BN: the back-end classifies the front-end's bottleneck, so that its gradient reaches the encoder only."""

    def __init__(self, frontend: Sizes = PUBLISHED, backend: Sizes = PUBLISHED):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        self.backend = TCN(self.frontend.bottleneck_channels, **backend)

    def forward(self, waveform: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(waveform)
        return JointOutput(enhanced, self.backend(bottleneck))


class BNMix(nn.Module):
    """BN-Mix: the back-end classifies the bottleneck, concatenated with one 1-D convolution of the noisy waveform.

    The paper omits the convolution's size. Here its window and stride are the bottleneck's, so that frames align.
    """

    def __init__(self, frontend: Sizes = PUBLISHED, backend: Sizes = PUBLISHED, mix_channels: int = 64):
        super().__init__()
        self.frontend = build_frontend(**frontend)
        stride = self.frontend.stride
        self.wave_filter = nn.Conv1d(1, mix_channels, kernel_size=stride, stride=stride)
        self.backend = TCN(self.frontend.bottleneck_channels + mix_channels, **backend)

    def forward(self, waveform: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(waveform)  # bottleneck (B, C, F)
        missing = bottleneck.shape[-1] * self.frontend.stride - waveform.shape[-1]
        filtered = self.wave_filter(F.pad(waveform, (0, missing)))  # (B, mix_channels, F)
        return JointOutput(enhanced, self.backend(torch.cat([bottleneck, filtered], dim=1)))


BOTH, _FIRST = ("frontend", "backend"), ("frontend",)


@dataclass(frozen=True)
class Strategy:
    """A row of the table below."""

    title: str  # its name in tables and figures
    network: type[nn.Module]  # one of the modules above
    alpha: float | None = None  # weight of enhancement in the loss; None: the experiment's parameter
    train_input: str = "noisy"  # or clean
    test_input: str = "noisy"
    loads: Mapping[str, str] = field(default_factory=dict)  # part -> strategy whose run initialises it
    frozen: tuple[str, ...] = ()  # parts that are not trained
    pretrained: Mapping[str, str] = field(default_factory=dict)  # part -> the same, with init="pretrained" only
    frontend: str = "wave_u_net"  # one of FRONTENDS
    loss: Mapping[str, float] = field(default_factory=lambda: PAPER)  # weights of the enhancement's terms
    gradient: float = 1.0  # share of the classification's gradient that reaches the front-end
    published: bool = True  # in the paper, or made of its parts


def _ours(title: str, network: type[nn.Module], alpha: float = 0.5, **others: Any) -> Strategy:
    return Strategy(title, network, alpha, published=False, **{"loss": SPECTRAL, **others})


_CLASSIFIER, _ENHANCER, _MASK = {"backend": "classifier_clean"}, {"frontend": "enhancement"}, {"frontend": "mask"}
STRATEGIES: dict[str, Strategy] = {
    # The paper's.
    "classifier_clean": Strategy("Classifier, clean-trained", Classifier, alpha=0.0, train_input="clean"),
    "classifier_noisy": Strategy("Classifier, noisy-trained", Classifier, alpha=0.0),
    "enhancement": Strategy("Enhancement alone", Enhancer, alpha=1.0),
    "cascade_clean": Strategy("Cascade, clean-trained", JT, alpha=0.0, loads=_ENHANCER | _CLASSIFIER, frozen=BOTH),
    "cascade_enhanced": Strategy("Cascade, retrained", JT, 0.0, loads=_ENHANCER, frozen=_FIRST, pretrained=_CLASSIFIER),
    "jt": Strategy("JT", JT, pretrained=_CLASSIFIER),
    "jt_clean": Strategy("JT-Clean", JT, train_input="clean", test_input="clean", pretrained=_CLASSIFIER),
    "bn": Strategy("BN", BN),
    "bn_mix": Strategy("BN-Mix", BNMix),
    # Beyond the paper: an ablation of front-end, loss and gradient, with JT as the eighth combination.
    "jt_spectral": _ours("JT, spectral loss", JT),
    "jt_detached": _ours("JT, detached", JT, loss=PAPER, gradient=0.0),
    "jt_spectral_detached": _ours("JT, spectral loss, detached", JT, gradient=0.0),
    "jt_mask_mse": _ours("JT, mask, MSE", JT, frontend="mask_net", loss=PAPER),
    "jt_mask": _ours("JT, mask", JT, frontend="mask_net"),
    "detached_mse": _ours("Detached cascade, MSE", JT, frontend="mask_net", loss=PAPER, gradient=0.0),
    "detached": _ours("Detached cascade", JT, frontend="mask_net", gradient=0.0),
    # The networks of the last one, trained sequentially.
    "mask": _ours("Mask alone", Enhancer, alpha=1.0, frontend="mask_net"),
    "cascade_mask_enhanced": _ours(
        "Mask cascade, sequential", JT, 0.0, frontend="mask_net", loads=_MASK, frozen=_FIRST, pretrained=_CLASSIFIER
    ),
}
INITS = ("scratch", "pretrained")


def parents(strategy: Strategy, init: str) -> dict[str, str]:
    """{part: strategy} of the runs whose weights initialise a run of this one."""
    return {**(strategy.pretrained if init == "pretrained" else {}), **strategy.loads}


def trainings(name: str, init: str) -> set[str]:
    """The strategies whose trainings a run consists of: its own, and those of the runs that initialise it."""
    strategy = STRATEGIES[name]
    found = set() if strategy.frozen == BOTH else {name}
    for parent in parents(strategy, init).values():
        found |= trainings(parent, "scratch")
    return found


def freeze(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    """Stop the gradient of some parts; `set_training` stops their batch-norm statistics."""
    for part in parts:
        getattr(model, part).requires_grad_(False)
    return model


def set_training(model: nn.Module) -> nn.Module:
    """Put a network into training mode, except frozen parts, whose batch-norm statistics stay as they are."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
    return model
