"""A batch → its contrastive loss and the gradients of all weights, over all processes, whole or in parts that save memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.parallel import DistributedDataParallel

import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

# isort: split
from open_clip.loss import ClipLoss, SigLipLoss

from pipeline.train.distributed import Processes

_TOWERS = ("image_features", "text_features")
Features = dict[str, torch.Tensor]
Loss = Callable[..., Any]  # of Features; a scalar


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Adds the gradients of a batch's loss to the weights' `.grad` and returns the loss; of one process, its rows' share of it.

    With `parts` > 1 only one part's activations are held at a time: all parts' features are computed first, without them, then
    the loss of the whole batch and its gradients by feature, then part by part the gradients of the weights (GradCache, Gao et
    al. 2021). The loss and the gradients are those of the whole batch, but for a model that normalises over the batch.
    """

    net: torch.nn.Module  # the model, or DistributedDataParallel around it
    loss: Loss
    arithmetic: Callable[[], AbstractContextManager[Any]]
    parts: int = 1

    def __call__(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        if self.parts == 1:
            with self.arithmetic():
                loss = self.loss(**self._features(images, tokens))
            loss.backward()
            found: torch.Tensor = loss.detach()
            return found
        return self._in_parts(list(zip(images.chunk(self.parts), tokens.chunk(self.parts), strict=True)))

    def _features(self, images: torch.Tensor, tokens: torch.Tensor) -> Features:
        output = self.net(images, tokens)
        if isinstance(output, dict):
            return output
        return dict(zip((*_TOWERS, "logit_scale", "logit_bias"), output, strict=False))

    def _in_parts(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        begun, found = [], []
        for images, tokens in parts:
            begun.append(random_state(images.device))  # so that dropout is the same the second time
            with torch.no_grad(), self.arithmetic():
                found.append(self._features(images, tokens))
        leaves = {name: torch.cat([part[name] for part in found]) for name in _TOWERS}
        leaves |= {name: value.detach().clone() for name, value in found[0].items() if name not in _TOWERS}
        for leaf in leaves.values():
            leaf.requires_grad_()
        with self.arithmetic():
            loss = self.loss(**leaves)
        loss.backward()
        ended = random_state(images.device)
        self._backward(parts, begun, leaves)
        set_random_state(images.device, ended)
        whole: torch.Tensor = loss.detach()
        return whole

    def _backward(
        self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]], begun: Sequence[list[torch.Tensor]], leaves: Features
    ) -> None:
        """Through the towers part by part; the scale and the bias, which all parts share, once."""
        gradients = {name: leaves[name].grad.chunk(len(parts)) for name in _TOWERS}  # type: ignore[union-attr]
        for number, (images, tokens) in enumerate(parts):
            last = number == len(parts) - 1
            set_random_state(images.device, begun[number])
            with nullcontext() if last else self._apart():
                with self.arithmetic():
                    features = self._features(images, tokens)
                towards = [(features[name], gradients[name][number]) for name in _TOWERS]
                if last:
                    towards += [(features[name], leaf.grad) for name, leaf in leaves.items() if name not in _TOWERS]
                torch.autograd.backward([value for value, _ in towards], [gradient for _, gradient in towards])

    def _apart(self) -> AbstractContextManager[Any]:
        """Processes sum up their gradients with the last part only."""
        return self.net.no_sync() if isinstance(self.net, DistributedDataParallel) else nullcontext()


def loss_for(name: Literal["clip", "siglip"], here: Processes) -> Loss:
    """open_clip's softmax loss (Radford et al. 2021) or sigmoid loss (Zhai et al. 2023) of this process's rows against all.

    The mean over processes is the loss of the whole batch, and so are the gradients.
    """
    if name == "siglip":
        # Every exchange passes through the gradients in the same order in all processes.
        sigmoid: Loss = SigLipLoss(rank=here.rank, world_size=here.world, dist_impl="gather")
        return sigmoid
    softmax: Loss = ClipLoss(local_loss=True, gather_with_grad=True, rank=here.rank, world_size=here.world)
    return softmax


def random_state(device: torch.device | str) -> list[torch.Tensor]:
    """What torch's random numbers go on from, on the CPU and on the device of this process."""
    on_gpu = torch.device(device).type == "cuda"
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if on_gpu else [])]


def set_random_state(device: torch.device | str, state: Sequence[torch.Tensor]) -> None:
    """Let torch's random numbers go on from there."""
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1], device)


__all__ = ["Objective", "loss_for", "random_state", "set_random_state"]
