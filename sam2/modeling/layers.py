"""Small parts that several boxes of the network are made of.

Legend: B batch, N tokens, C channels, H, W map height and width.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

PLAIN_WEIGHTS = frozenset((nn.Parameter, type(None)))


class MLP(nn.Module):
    """A chain of `num_layers` linear layers with an activation between them, and a sigmoid at the end if asked."""

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        activation: type[nn.Module] = nn.ReLU,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.num_layers = num_layers
        self.layers = nn.ModuleList(nn.Linear(widths[i], widths[i + 1]) for i in range(num_layers))
        self.sigmoid_output = sigmoid_output
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        x = self.layers[-1](x)
        return x.sigmoid() if self.sigmoid_output else x


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each position of a map (B, C, H, W)."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        return F.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """In training, drop what a block adds for a share of the batch, and scale the rest (Huang et al. 2016)."""

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        keep_prob = 1 - self.drop_prob
        draws = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(keep_prob)
        return x * (draws / keep_prob if self.scale_by_keep and keep_prob else draws)


class Attention(nn.Module):
    """Multi-head attention with its own projections; an axis of batch 1 broadcasts against a batch of B.

    Queries, keys and values are `embedding_dim / downsample_rate` wide; `kv_in_dim` is the width of the tokens attended to.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.kv_in_dim = embedding_dim, kv_in_dim or embedding_dim
        self.internal_dim, self.num_heads, self.dropout_p = embedding_dim // downsample_rate, num_heads, dropout
        if self.internal_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide an attention width of {self.internal_dim}")
        self.q_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.k_proj = nn.Linear(self.kv_in_dim, self.internal_dim)
        self.v_proj = nn.Linear(self.kv_in_dim, self.internal_dim)
        self.out_proj = nn.Linear(self.internal_dim, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (B, N, C) to k and v (B, K, kv_in_dim); returns (B, N, C)."""
        return self.attend(self.q_proj(q), self.k_proj(k), self.v_proj(v))

    def attend(self, q_BNC: Tensor, k_BNC: Tensor, v_BNC: Tensor) -> Tensor:
        """Attend with projected queries, keys and values, and project the answer."""
        batch = max(q_BNC.shape[0], k_BNC.shape[0])
        q, k, v = (self._split_heads(x).expand(batch, -1, -1, -1) for x in (q_BNC, k_BNC, v_BNC))
        answer = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout_p if self.training else 0.0)
        return self.out_proj(answer.transpose(1, 2).flatten(2))

    def _split_heads(self, x_BNC: Tensor) -> Tensor:
        return x_BNC.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def only(part: str, **choices: tuple[object, object]) -> None:
    """Raise ValueError for the first choice, named with (asked, held), that a part of the network does not have."""
    for name, (value, built) in choices.items():
        if value != built:
            raise ValueError(f"{part}: {name}={value!r} is not built here: expected {built!r}")


def untouched(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a layer is what it was built as, so that a shortcut through its weights answers as calling it would.

    A wrapper, a subclass, a parametrisation, a quantised weight, a hook or a forward of its own must be called.
    """
    if type(module) is not kind or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks:
        return False
    return not module_hooks._has_any_global_hook() and PLAIN_WEIGHTS.issuperset(map(type, module._parameters.values()))


def is_plain_1x1(conv: nn.Module) -> bool:
    """Return whether `linear_1x1` and `chained_1x1` stand for this layer."""
    return untouched(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1


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


def double_resolution(conv: nn.Module, x_BHWC: Tensor) -> Tensor:
    """Apply a 2x2 transposed convolution of stride 2 as one matrix product; channels are the last axis.

    Anything but the plain layer is called instead.
    """
    if not untouched(conv, nn.ConvTranspose2d):
        return conv(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
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
