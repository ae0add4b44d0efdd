"""One run trained by several processes, as torchrun starts them: each computes its share of every training batch.

On GPUs batch norm uses the statistics of the whole batch. On a CPU, for which torch has no such layer, each process
uses those of its own share, so that the numbers depend slightly on the number of processes.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@contextmanager
def together() -> Iterator[None]:
    """Join the processes that torchrun has started; do nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    gpu = int(os.environ["LOCAL_RANK"]) < torch.cuda.device_count()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # The others wait for hours while the first one evaluates; torchrun ends all of them if one fails.
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=timedelta(days=30))
    yield
    dist.destroy_process_group()


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that evaluates, writes and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def on_first(compute: Callable[[], T]) -> T:
    """Compute a plain value on the first process and hand it to all of them."""
    value: list[Any] = [compute() if is_first() else None]
    if processes() > 1:
        dist.broadcast_object_list(value)
    return value[0]


def own(rows: Tensor) -> Tensor:
    """This process's share of a batch's rows (B,); where they do not divide evenly, the first rows are repeated."""
    if processes() == 1:
        return rows
    padded = torch.arange(-(-len(rows) // processes()) * processes()) % len(rows)
    return rows[padded[dist.get_rank() :: processes()]]


def parallel(model: nn.Module) -> nn.Module:
    """The network that all processes train together; the model itself if there is one process."""
    if processes() == 1:
        return model
    if next(model.parameters()).is_cuda:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    warnings.filterwarnings("ignore", "Grad strides")  # depthwise weights (C, 1, K): an axis of one may have any stride
    return DistributedDataParallel(model)
