"""Batch normalisation over the batch of all processes, so that a model with it trains as one process would train it."""

from typing import Any

import torch
from torch import distributed
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm(torch.nn.BatchNorm2d):
    """For the CPU, which torch's SyncBatchNorm does not do. Each process gives equally many images (b, C, H, W)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        count = input.numel() // input.shape[1] * distributed.get_world_size()
        mean = _total(input.sum((0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = _total(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        normal = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        return normal * self.weight[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.num_batches_tracked is None or self.momentum is None:
            raise NotImplementedError("batch normalisation without running statistics or with cumulative ones")
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
        self.running_var.lerp_(variance, self.momentum)  # type: ignore[union-attr]


def _total(value: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = all_reduce(value)  # type: ignore[no-untyped-call]
    return found


def shared(model: torch.nn.Module) -> torch.nn.Module:
    """The model with every batch normalisation done over all processes; its weights and their names stay."""
    if next(model.parameters()).is_cuda:
        return torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-any-return, no-untyped-call]
    for module in list(model.modules()):
        if type(module) is torch.nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return model


def has_batch_norm(model: torch.nn.Module) -> bool:
    """Whether an image's features depend on the others of its batch."""
    kinds: Any = torch.nn.modules.batchnorm._BatchNorm
    return any(isinstance(module, kinds) for module in model.modules())


__all__ = ["has_batch_norm", "shared"]
