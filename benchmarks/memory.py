"""How much memory a training step needs at most, counted on tensors without content: no GPU is asked, nothing computed.

    python -m benchmarks.memory

Every tensor counts from the operation that makes it until nothing refers to it: parameters, gradients, the optimiser's
state, what is kept for the way back, and what comes and goes. So it is the peak of a step that is not compiled, for
which a compiled one should need less; a library's workspace and what an allocator wastes come on top.
"""

import weakref
from collections.abc import Callable

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.step import CLASSES
from jointlib.config import Config
from jointlib.fast.gpu import swap_for_gpu
from jointlib.runs.run import build_network
from jointlib.train import Batch, build_optimizer, train_step

# GB at the published sizes, bfloat16, 32 clips of 4 s: what the networks may grow to before somebody has to look.
BOUND = {"jt": 41.0, "bn": 4.5, "bn_mix": 4.5}


class Live(TorchDispatchMode):
    """Counts the bytes that are in use, and the most there ever were."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def peak(config: Config, swap: Callable[[nn.Module], nn.Module] = swap_for_gpu) -> float:
    """GB at most during two steps, the first of which makes the optimiser's state."""
    size, config = config.batch_size, config.replace(bf16=True)
    with FakeTensorMode(), Live() as live:
        model = swap(build_network(config, CLASSES).train())
        noisy, clean = torch.randn(2, size, 1, config.clip_samples)
        labels = torch.zeros(size, dtype=torch.int64)
        batch, optimizer = Batch(noisy, clean, labels, labels, ("",) * size), build_optimizer(model, config)
        for _ in range(2):
            train_step(model, batch, optimizer, config)
    return live.peak / 1e9


if __name__ == "__main__":
    for name in BOUND:
        print(f"{name}: {peak(Config(profile='full', strategy=name)):.1f} GB")
