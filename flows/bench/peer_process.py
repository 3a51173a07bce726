"""The released package in a process of its own: started, spoken to, stopped; and its names for a network of ours."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labeling.errors import BadConfiguration, LabelingError
from labeling.track.predictor import TrackerRecipe
from sam2.modeling.config import ModelConfig
from sam2.variants import find_config

SCRIPT = Path(__file__).parent / "peer.py"
NEEDS = "torchvision iopath tqdm"
SHOWN_CHARACTERS = 2000


def check_checkout(path: Path) -> Path:
    """Return the checkout's full path; BadConfiguration where it is none."""
    full = path.expanduser().resolve()
    if not (full / "sam2" / "build_sam.py").is_file() or not (full / "sam2" / "configs").is_dir():
        raise BadConfiguration(
            f"peer is {str(path)!r}; expected a checkout of the released package, with sam2/build_sam.py and sam2/configs "
            "in it: git clone https://github.com/facebookresearch/sam2"
        )
    return full


class Peer:
    """The child that `peer.py` runs in; a context manager."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = check_checkout(checkout)
        self._stderr = tempfile.TemporaryFile("w+")   # noqa: SIM115
        # -P: the script's own folder is not searched for modules.
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
            text=True, env={**os.environ, "PYTHONPATH": str(self._checkout)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._child.kill()
        self._child.communicate()
        self._stderr.close()

    def load(self, **command: Any) -> None:
        """Build the released predictor; BadConfiguration where it cannot be imported from the checkout."""
        imported = Path(self.ask(do="load", **command)["file"]).resolve()
        if not imported.is_relative_to(self._checkout):
            raise BadConfiguration(f"the peer imported {imported}; expected sam2 from {self._checkout}")

    def ask(self, **command: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        assert self._child.stdin
        assert self._child.stdout
        try:
            self._child.stdin.write(json.dumps(command) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._failed("it has ended") from None
        line = self._child.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended without an answer"}
        if "missing" in answer:
            raise BadConfiguration(
                f"the peer needs the module {answer['missing']!r}, which is not installed here: "
                f"{sys.executable} -m pip install {NEEDS}"
            )
        if "error" in answer:
            raise self._failed(answer["error"])
        return answer

    def _failed(self, reason: str) -> LabelingError:
        self._stderr.seek(0)
        return LabelingError(f"the peer failed: {reason}\n{self._stderr.read()[-SHOWN_CHARACTERS:]}".rstrip())


def released_config(recipe: TrackerRecipe) -> str:
    """Return the release's name of the network; one of ours that it lacks is made of its smallest by overrides."""
    variant = find_config(recipe.model).variant
    if variant == "sam2.1_nano":
        variant = "sam2.1_hiera_t"
    return f"configs/{variant.partition('_')[0]}/{variant}.yaml"


def released_overrides(recipe: TrackerRecipe) -> list[str]:
    """Return what makes the release's network and its choices those of the recipe, in Hydra's notation."""
    network = find_config(recipe.model)
    values: dict[str, Any] = {"image_size": recipe.image_size, "fill_hole_area": 0}
    if recipe.apply_postprocessing:
        stability = "sam_mask_decoder_extra_args.dynamic_multimask"
        values |= {
            f"{stability}_via_stability": "true",
            f"{stability}_stability_delta": network.dynamic_multimask_stability_delta,
            f"{stability}_stability_thresh": network.dynamic_multimask_stability_thresh,
            "binarize_mask_from_pts_for_mem_enc": "true",
        }
    if network.variant == "sam2.1_nano":
        values |= _sizes(network)
    return [f"++model.{name}={_as_text(value)}" for name, value in values.items()]


def _sizes(network: ModelConfig) -> dict[str, Any]:
    """Every place in the release's configuration that a size of the network stands in."""
    trunk, dim, memory_dim = network.trunk, network.hidden_dim, network.memory_dim
    trunk_at, neck, attention, layer = "image_encoder.trunk", "image_encoder.neck", "memory_attention", "memory_attention.layer"
    names = ("embed_dim", "num_heads", "stages", "global_att_blocks", "window_pos_embed_bkg_spatial_size", "window_spec")
    return {
        **{f"{trunk_at}.{name}": getattr(trunk, name) for name in names},
        f"{neck}.d_model": dim, f"{neck}.position_encoding.num_pos_feats": dim,
        f"{neck}.backbone_channel_list": trunk.stage_dims[::-1],
        f"{attention}.d_model": dim, f"{attention}.num_layers": network.memory_attention_layers,
        f"{layer}.d_model": dim, f"{layer}.dim_feedforward": network.memory_attention_ffn_dim,
        f"{layer}.self_attention.embedding_dim": dim, f"{layer}.cross_attention.embedding_dim": dim,
        f"{layer}.cross_attention.kv_in_dim": memory_dim,
        "memory_encoder.in_dim": dim, "memory_encoder.out_dim": memory_dim,
        "memory_encoder.position_encoding.num_pos_feats": memory_dim,
        "memory_encoder.mask_downsampler.embed_dim": dim, "memory_encoder.fuser.layer.dim": dim,
        "memory_encoder.fuser.num_layers": network.memory_fuser_layers,
    }


def _as_text(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
