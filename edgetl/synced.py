"""BatchNorm's statistics over the batch of all ranks, where they move: each rank sees only its share.

torch's own SyncBatchNorm works on GPUs alone, and another module would have other names in the run's files.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from edgetl.ranks import Ranks


class SyncedStatistics(TorchFunctionMode):
    """While it is entered, `batch_norm` in training mode normalises by the statistics of all ranks.

    Every rank must call it equally often; one whose share is empty as well.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Take the place of one function, and let the others do what they do."""
        if func is functional.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Do what `torch.nn.functional.batch_norm` does, whose parameters these are."""
        if not training:
            return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        own, shape = x.float(), (1, -1, *[1] * (x.ndim - 2))
        dims = [0, *range(2, x.ndim)]
        own_count = own.new_tensor([own.numel() / own.shape[1]])
        count = self._ranks.total(own_count)
        mean = _Total.apply(own.sum(dims), self._ranks) / count
        centred = own - mean.reshape(shape)
        variance = _Total.apply(centred.square().sum(dims), self._ranks) / count
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * count / (count - 1), momentum)
        scale = torch.rsqrt(variance + eps) * (1 if weight is None else weight)
        scaled = centred * scale.reshape(shape) + (0 if bias is None else bias.reshape(shape))
        result: Tensor = scaled.to(x.dtype)
        return result


class _Total(torch.autograd.Function):
    """`Ranks.total`, through which gradients flow: each rank's share has a part in the loss of all."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        context.ranks = ranks
        return ranks.total(tensor)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return context.ranks.total(gradient), None
