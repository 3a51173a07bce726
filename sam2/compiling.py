"""torch.compile over the parts of the network that do the work; which frames and objects they get stays in Python.

Sizes that change on the way (objects, memories, pointers, frames at once) are symbols in what is compiled: a part is
compiled for one, then for any number, and not again with every frame.
"""

import torch

from sam2.modeling.sam2_base import SAM2Base


def compile_network(network: SAM2Base, *, backend: str = "inductor") -> None:
    """Have the parts of the network compiled when they are first called, which takes a minute or more.

    Answers differ from the plain network's by rounding. Raises RuntimeError where this machine cannot compile.
    """
    _check(network.device, backend)
    layers = network.memory_attention.layers
    for part in (network.image_encoder, *layers, network.sam_mask_decoder, network.memory_encoder):
        part.compile(backend=backend, dynamic=None)


def _check(device: torch.device, backend: str) -> None:
    """Compile next to nothing, so that what is missing shows before the first frame."""
    try:
        torch.compile(lambda x: x.sin() + 1, backend=backend)(torch.ones(8, device=device))
    except Exception as error:
        needed = "a C++ compiler (g++)" if device.type == "cpu" else "Triton and a C compiler"
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeError(f"torch.compile does not work here on {device}; it needs {needed}: {told}") from error
