"""Small parts that several boxes of the network are made of.

Legend: B batch, N tokens, C channels, H, W map height and width.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """A chain of `depth` linear layers with an activation between them."""

    def __init__(
        self, dim_in: int, *, hidden: int, dim_out: int, depth: int, activation: Callable[[Tensor], Tensor] = F.relu
    ) -> None:
        super().__init__()
        widths = [dim_in, *[hidden] * (depth - 1), dim_out]
        self.layers = nn.ModuleList(nn.Linear(widths[i], widths[i + 1]) for i in range(depth))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class MapNorm(nn.Module):
    """Layer norm over the channels of each position of a map (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def channels_last(self, x_BHWC: Tensor) -> Tensor:
        """The same norm where channels already are the last axis."""
        return F.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, 1e-6)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.channels_last(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Multi-head attention with its own projections; an axis of batch 1 broadcasts against a batch of B.

    `inner_dim` is the width of queries, keys and values, `kv_dim` that of the tokens attended to.
    """

    def __init__(self, dim: int, *, heads: int, inner_dim: int | None = None, kv_dim: int | None = None) -> None:
        super().__init__()
        inner_dim, kv_dim = inner_dim or dim, kv_dim or dim
        if inner_dim % heads:
            raise ValueError(f"{heads} heads do not divide an attention width of {inner_dim}")
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner_dim)
        self.k_proj = nn.Linear(kv_dim, inner_dim)
        self.v_proj = nn.Linear(kv_dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, dim)

    def forward(self, queries_BNC: Tensor, keys_BNC: Tensor, values_BNC: Tensor) -> Tensor:
        return self.attend(self.q_proj(queries_BNC), self.k_proj(keys_BNC), self.v_proj(values_BNC))

    def attend(self, q_BNC: Tensor, k_BNC: Tensor, v_BNC: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Attend with projected queries, keys and values, and project the answer."""
        batch = max(q_BNC.shape[0], k_BNC.shape[0])
        q, k, v = (self._split_heads(x).expand(batch, -1, -1, -1) for x in (q_BNC, k_BNC, v_BNC))
        answer = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout if self.training else 0.0)
        return self.out_proj(answer.transpose(1, 2).flatten(2))

    def _split_heads(self, x_BNC: Tensor) -> Tensor:
        return x_BNC.unflatten(2, (self.heads, -1)).transpose(1, 2)


def linear_1x1(conv: nn.Conv2d, x_BHWC: Tensor) -> Tensor:
    """Apply a 1x1 convolution to a map whose channels are the last axis."""
    return F.linear(x_BHWC, conv.weight.flatten(1), conv.bias)


def chained_1x1(first: nn.Conv2d, second: nn.Conv2d, x_BHWC: Tensor) -> Tensor:
    """Apply two 1x1 convolutions with nothing between them as one: the wide map between them is never made.

    The product of the weights is taken anew at each call, in float32, so that it follows the weights.
    """
    with torch.autocast(x_BHWC.device.type, enabled=False):
        weight = second.weight.flatten(1) @ first.weight.flatten(1)
        bias = second.weight.flatten(1) @ first.bias + second.bias
    return F.linear(x_BHWC, weight, bias)


def double_resolution(conv: nn.ConvTranspose2d, x_BHWC: Tensor) -> Tensor:
    """Apply a 2x2 transposed convolution of stride 2 as one matrix product; channels are the last axis."""
    batch, height, width, _ = x_BHWC.shape
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    blocks = F.linear(x_BHWC, weight, conv.bias.repeat(4)).view(batch, height, width, 2, 2, -1)
    return blocks.transpose(2, 3).reshape(batch, 2 * height, 2 * width, -1)


class Derived:
    """Remembers one tensor computed from parameters for as long as the parameters' values stay as they were.

    Values are compared, not version counters: an edit through `.data` changes no counter. The sources are small and
    the comparison is cheap on a CPU; elsewhere it would wait for the device, and computing is cheap, so that nothing
    is remembered there, nor where a gradient may be asked for.
    """

    def __init__(self) -> None:
        self._last: tuple[object, tuple[Tensor, ...], Tensor] | None = None

    def get(self, sources: Iterable[Tensor], *, key: object, compute: Callable[[], Tensor]) -> Tensor:
        """Return `compute()`, or what it returned for the same key and the same values of the sources."""
        sources = tuple(sources)
        if torch.compiler.is_compiling() or torch.is_grad_enabled() or any(s.device.type != "cpu" for s in sources):
            return compute()
        last = self._last
        if last is not None and last[0] == key and all(map(_same, last[1], sources)):
            return last[2]
        made = compute()
        self._last = (key, tuple(s.detach().clone() for s in sources), made)
        return made


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)
