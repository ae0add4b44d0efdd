"""A configuration's network."""

import inspect

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jointlib.config import Config
from jointlib.strategies import STRATEGIES
from jointlib.tcn import ResidualBlock


def build_network(config: Config, classes: int) -> nn.Module:
    """The strategy's network with fresh weights."""
    network = STRATEGIES[config.strategy].network
    frontend = {name: getattr(config, f"frontend_{name}") for name in ("layers", "channels", "chunk")}
    backend = {name: getattr(config, f"tcn_{name}") for name in ("channels", "hidden", "repeats", "blocks")}
    backend |= {"classes": classes, "stem": config.stem if network.classifies_wave else None}
    sizes = {"frontend": frontend, "backend": backend, "mix_channels": config.mix_channels}
    return network(**{name: sizes[name] for name in inspect.signature(network).parameters})


class CheckpointedBlock(ResidualBlock):
    """Keeps its input alone and computes the rest again on the way back."""

    def forward(self, features: Tensor) -> Tensor:
        if not features.requires_grad:
            return super().forward(features)
        return checkpoint(super().forward, features, use_reentrant=False)


def save_memory(model: nn.Module) -> nn.Module:
    """Have the classifier's blocks keep their inputs only: less memory, more time, the same numbers."""
    for module in model.modules():
        if type(module) is ResidualBlock:
            module.__class__ = CheckpointedBlock
    return model
