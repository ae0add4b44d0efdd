"""One run on several processes, as torchrun starts them: each computes its rows of every batch, the first one writes.

Where there is one process, it has all rows, and nothing here changes a number. Where there are several, losses, batch
norm and gradients are still those of the whole batch.
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.nn.functional import all_reduce  # its gradient is summed as well
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = 10  # seconds that the first process has to meet the same error


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes that torchrun has started, if it has; an error that all of them meet is told once."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if (gpu := int(os.environ["LOCAL_RANK"])) < torch.cuda.device_count():
        torch.cuda.set_device(gpu)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, number = next(dist.rendezvous("env://"))
    # The others wait while the first one evaluates. Not a clock but torchrun ends them when one is lost.
    dist.init_process_group(backend, store=store, rank=rank, world_size=number, timeout=timedelta(days=30))
    try:
        yield
    except KeyboardInterrupt:
        if rank:
            raise SystemExit(130) from None
        raise
    except Exception:
        if not rank:
            store.set("told", "")
        else:
            time.sleep(_PATIENCE)
            if store.check(["told"]):
                raise SystemExit(1) from None
        raise
    dist.destroy_process_group()


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return _rank() == 0


def agreed(found: bool) -> bool:
    """What the first process has found, which the others wait for."""
    return bool(total(found and is_first()))


def total(value: float) -> float:
    """The sum over processes."""
    if processes() > 1:
        summed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        value = summed.item()
    return value


@contextmanager
def in_turn() -> Iterator[None]:
    """First the first process, then the others, which find what it has written."""
    if not is_first():
        total(0)
    yield
    if is_first():
        total(0)


def own(rows: Tensor) -> Tensor:
    """This process's share of a batch's rows (B,). With more processes than rows, those without one compute the first,
    which counts for nothing there."""
    part = rows.tensor_split(processes())[_rank()]
    return part if len(part) else rows[:1]


def _share(batch: int, rank: int | None = None) -> float:
    """How much of a batch of so many utterances is this process's own, or another's."""
    return len(range(_rank() if rank is None else rank, batch, processes())) / batch


def over_batch(terms: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Means over all of a batch of so many utterances, of terms that are means over the `own` ones of each process."""
    if processes() == 1:
        return dict(terms)
    stacked = torch.stack(list(terms.values()))
    means = all_reduce(stacked.double() * _share(batch)).to(stacked.dtype)  # double: equal accuracies stay equal
    return dict(zip(terms, means, strict=True))


def parallel(model: nn.Module) -> nn.Module:
    """A network that is trained by all processes, its batch norms replaced in place; itself where there is but one."""
    if processes() == 1:
        return model
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.__class__ = BatchNormOverProcesses
    warnings.filterwarnings("ignore", "Grad strides")  # of depthwise weights (C, 1, K), whose axis of one may have any
    return DistributedDataParallel(model, broadcast_buffers=False)


@contextmanager
def batch_of(utterances: int) -> Iterator[None]:
    """Say how many utterances the batch has that networks are computing, for their batch norms."""
    BatchNormOverProcesses.batch = utterances
    yield


class BatchNormOverProcesses(nn.BatchNorm2d):
    """Batch norm of (B, C, T) or (B, C, 1, T) with the statistics of the whole batch.

    torch's own, SyncBatchNorm, refuses tensors on a CPU, and would count the rows that stand in for none.
    """

    batch = 0  # utterances, in all processes

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        output, mean, var = _Normalise.apply(input, self.weight, self.bias, self.batch, self.eps)
        number = self.batch * input[0, 0].numel()
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * number / (number - 1), self.momentum)
        self.num_batches_tracked += 1
        return output


class _Normalise(torch.autograd.Function):
    """With mean and variance (C,) of a batch of so many utterances in all processes, which it returns as well."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, batch: int, eps: float) -> tuple[Tensor, ...]:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        here = torch.stack(torch.var_mean(x.to(weight.dtype), axes, correction=0))
        everywhere = here.new_empty(2 * processes(), x.shape[1])
        dist.all_gather_into_tensor(everywhere, here)
        found = everywhere.unflatten(0, (-1, 2))  # (processes, 2, C)
        shares = here.new_tensor([[_share(batch, rank)] for rank in range(processes())])
        mean = (shares * found[:, 1]).sum(dim=0)
        var = (shares * (found[:, 0] + (found[:, 1] - mean).square())).sum(dim=0)
        ctx.save_for_backward(x, weight, mean, var)
        ctx.share, ctx.eps = _share(batch), eps
        ctx.mark_non_differentiable(mean, var)
        return torch.batch_norm(x, weight, bias, mean, var, False, 0.0, eps, False), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, *_) -> tuple[Tensor | None, ...]:
        x, weight, mean, var = ctx.saved_tensors
        fixed = (weight, mean, var, None, None, False, ctx.eps, (True, True, True))  # as if mean and var were constants
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(gradient, x, *fixed)
        of_both = torch.stack([of_weight, of_bias])
        dist.all_reduce(of_both)
        to_weight, to_bias = of_both
        scale, each = (var + ctx.eps).rsqrt(), ctx.share * x.shape[1] / x.numel()
        slope = -each * weight * to_weight * scale.square()
        shape = (-1, *[1] * (x.dim() - 2))  # (C, 1) or (C, 1, 1)
        shift = -each * weight * to_bias * scale - slope * mean
        of_x += torch.addcmul(shift.view(shape), x, slope.view(shape))
        return of_x, of_weight, of_bias, None, None
