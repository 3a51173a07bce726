"""From a configuration to a predictor that is ready to follow: which network, which memory, which arithmetic, which thread.

The network works on the next frames in a thread of its own (`ahead`) while this one's masks are coded, judged and written. On a
processor it has to be the only one that computes with torch: GNU's OpenMP gives every thread that does a team of its own, and
once all teams together are larger than the machine, each of them sleeps at every barrier where it would have spun. A small
network, whose operations are over in tens of microseconds, then takes twice as long.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from labeling.config import NetworkConfig, PrecisionConfig, TrackConfig, TrackerConfig
from labeling.errors import BadConfiguration, BadInput
from labeling.track.checkpoints import sha256_of, verify_checkpoint
from sam2.checkpoint import embedded_digest, embedded_weights, guess_variant, read_weights
from sam2.overrides import apply_overrides
from sam2.variants import CONFIGS, find_config

if TYPE_CHECKING:
    from torch import Tensor

    from sam2.sam2_video_predictor import Prompted
    from sam2.tracking.propagation import FrameOutput
    from sam2.tracking.state import VideoState

T = TypeVar("T")

# Raised whenever the same inputs would give other masks: it is a part of every key.
SEMANTICS_VERSION = 1
UNTRAINED = "untrained"
# Four times the side that the released networks learnt at: beyond it one frame's attention alone fills a machine.
MAX_IMAGE_SIZE = 4096
PRECISIONS = ("fp32", "bf16")
COMPILED = "-compiled"
TRACKERS = ("sam2", "samurai", "dam4sam")
DEPTH = 2       # steps begun before they are asked for
_END = object()


class Predictor(Protocol):
    """What `follow` needs of `sam2.sam2_video_predictor.SAM2VideoPredictor`; a test may give another."""

    def init_state(self, video_path: object, *, memory: str, async_loading_frames: bool = ...) -> "VideoState": ...
    def add_new_points_or_box(
        self, inference_state: "VideoState", frame_idx: int, obj_id: int, points: object = ..., labels: object = ...,
        clear_old_points: bool = ..., normalize_coords: bool = ..., box: object = ...,
    ) -> "Prompted": ...
    def add_new_mask(
        self, inference_state: "VideoState", frame_idx: int, obj_id: int, mask: npt.NDArray[np.bool_]
    ) -> "Prompted": ...
    def remove_object(
        self, inference_state: "VideoState", obj_id: int, *, need_output: bool = ...
    ) -> tuple[list[int], list[tuple[int, "Tensor"]]]: ...
    def propagate(
        self, inference_state: "VideoState", *, reverse: bool, each_from_its_prompt: bool
    ) -> Iterator["FrameOutput"]: ...


@dataclass(frozen=True, slots=True)
class TrackerRecipe:
    """Everything about the model and tracker that decides masks; a part of every object's key."""

    model: str
    checkpoint_sha256: str
    image_size: int
    apply_postprocessing: bool
    precision: str
    tracker: str
    overrides: dict[str, Any] = field(default_factory=dict)
    semantics_version: int = SEMANTICS_VERSION

    @property
    def config_file(self) -> str:
        """The name that `sam2` builds from; the SAMURAI configs carry a motion weight for each size."""
        samurai = f"configs/samurai/{self.model}"
        return samurai if self.tracker == "samurai" and samurai in CONFIGS else self.model

    @property
    def presence_threshold(self) -> float:
        """The object score above which this tracker keeps a mask: 0, or SAMURAI's `min_obj_score_logits`."""
        if self.tracker != "samurai":
            return 0.0
        return float(self.overrides.get("min_obj_score_logits", find_config(self.config_file).min_obj_score_logits))

    @property
    def hydra_overrides(self) -> list[str]:
        """What is laid over that config."""
        policy = {} if self.tracker in ("sam2", "samurai") else {"memory_policy": self.tracker}
        chosen = {"samurai_mode": self.tracker == "samurai", "image_size": self.image_size, **policy, **self.overrides}
        return [f"++model.{name}={_as_text(value)}" for name, value in chosen.items()]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def recipe_of(model: NetworkConfig, precision: PrecisionConfig, tracker: TrackerConfig) -> TrackerRecipe:
    """Resolve a configuration: find the weights' checksum and refuse what cannot be built.

    Raises:
        BadConfiguration: no checkpoint without `model.allow_untrained=true`, a missing file, another checksum than
            `model.checkpoint_sha256`, an unknown precision or tracker, an image size or override that the network refuses.
    """
    if precision.name not in PRECISIONS:
        raise BadConfiguration(f"precision is {precision.name!r}; expected one of {', '.join(PRECISIONS)}")
    if tracker.name not in TRACKERS:
        raise BadConfiguration(f"tracker is {tracker.name!r}; expected one of {', '.join(TRACKERS)}")
    try:
        network = find_config(model.config)
    except ValueError as error:
        raise BadConfiguration(f"model.config: {error}") from error
    recipe = TrackerRecipe(
        model=model.config,
        checkpoint_sha256=checkpoint_digest(model),
        image_size=network.image_size if model.image_size is None else model.image_size,
        apply_postprocessing=model.apply_postprocessing,
        precision=precision.name + (COMPILED if precision.compile else ""),
        tracker=tracker.name,
        overrides=dict(tracker.overrides),
    )
    if recipe.image_size > MAX_IMAGE_SIZE:
        raise BadConfiguration(f"model.image_size is {recipe.image_size}; expected at most {MAX_IMAGE_SIZE}")
    try:
        apply_overrides(find_config(recipe.config_file), recipe.hydra_overrides)
    except ValueError as error:
        raise BadConfiguration(f"model or tracker.overrides: {error}") from error
    return recipe


def checkpoint_digest(model: NetworkConfig) -> str:
    """Return the SHA-256 of the weights that `model` names, or that the package holds of it, or "untrained" where
    that is allowed."""
    if not model.checkpoint:
        if embedded := embedded_weights(find_config(model.config).variant):
            return embedded_digest(embedded)
        if model.allow_untrained:
            return UNTRAINED
        raise BadConfiguration(
            f"model={model.name} has no checkpoint, and random weights label nothing. Give model.checkpoint=FILE "
            f"(`labeling checkpoints fetch {model.name}` brings one), or model.allow_untrained=true to try the pipeline"
        )
    path = Path(model.checkpoint).expanduser()
    if not path.is_file():
        raise BadConfiguration(f"model.checkpoint is {model.checkpoint!r}; expected a file that this machine can read")
    digest = verify_checkpoint(path, record_it=False)
    if model.checkpoint_sha256 and digest != model.checkpoint_sha256.lower():
        raise BadConfiguration(
            f"{path} has SHA-256 {digest}; model.checkpoint_sha256 expects {model.checkpoint_sha256}. "
            "Fetch the file again, or correct the setting"
        )
    return digest


def check_checkpoint(recipe: TrackerRecipe, checkpoint: str) -> None:
    """Refuse weights that cannot be read or are of another network, as far as that is known without building it.

    Raises:
        BadInput: so it is; every name and shape is compared where the network is built.
    """
    path, variant = Path(checkpoint).expanduser(), find_config(recipe.model).variant
    try:
        looks_like = guess_variant(read_weights(path))
    except (ValueError, OSError) as error:
        raise BadInput(f"model.checkpoint: {error}", "bad_checkpoint") from error
    if looks_like != variant:
        likeness = f"looks like {looks_like}" if looks_like else "looks like none of the known networks"
        raise BadInput(f"model.checkpoint is {checkpoint!r}, which {likeness}; expected weights of {variant}", "bad_checkpoint")


def build_predictor(
    recipe: TrackerRecipe, checkpoint: str | None, *, device: str, encode_batch: int = TrackConfig.encode_batch
) -> Predictor:
    """Build the video predictor on `device`; untrained weights are equal in every actor and every run.

    `encode_batch` frames go through the image encoder at once; it changes answers by rounding at most, and no key.

    Raises:
        BadInput: the weights do not fit the network, or are not those that the plan was made with.
    """
    import torch

    from sam2.build_sam import build_sam2_video_predictor

    path = Path(checkpoint).expanduser() if checkpoint else embedded_weights(find_config(recipe.model).variant)
    if path is not None and (verify_checkpoint(path) if checkpoint else sha256_of(path)) != recipe.checkpoint_sha256:
        raise BadInput(f"{path} is not the file that this run was planned with", "bad_checkpoint")
    # whoever builds it does not follow: that is done in a thread of its own
    with without_team(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor: Predictor = build_sam2_video_predictor(
            recipe.config_file,
            path,
            device=device,
            hydra_overrides_extra=[*recipe.hydra_overrides, f"++model.encode_batch={encode_batch}"],
            apply_postprocessing=recipe.apply_postprocessing,
            vos_optimized=recipe.precision.endswith(COMPILED),
        )
    return predictor


def default_device() -> str:
    """Return the device that this machine tracks on best."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def take_peak_gpu_bytes(device: str) -> int:
    """Return the most bytes of the GPU that this process held since the last call, 0 where it has none."""
    import torch

    if not device.startswith("cuda"):
        return 0
    peak = torch.cuda.max_memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


@contextmanager
def arithmetic(precision: str, *, device: str) -> Iterator[None]:
    """Run the block without gradients, and in bfloat16 where `precision` says so."""
    import torch

    with torch.inference_mode(), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision.startswith("bf16")):
        yield


def mask_of(mask_1HW: "Tensor") -> npt.NDArray[np.bool_]:
    """Return one object's mask (H, W) on the host."""
    mask_HW: npt.NDArray[np.bool_] = mask_1HW[0].cpu().numpy()
    return mask_HW


def ahead(items: Iterator[T], *, depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield what `items` yields, in its order, while a thread is up to `depth` items ahead.

    The thread works in the arithmetic (autocast, no gradients) of whoever asks first; an error comes where its item
    would have come. Closing waits for the step that is under way.
    """
    import torch

    arithmetic = [(kind, torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    gradients = torch.is_grad_enabled()

    def step() -> object:
        with ExitStack() as ambient:
            ambient.enter_context(torch.set_grad_enabled(gradients))
            for kind, dtype in arithmetic:
                ambient.enter_context(torch.autocast(kind, dtype))
            return next(items, _END)

    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tracking")
    try:
        coming = deque(worker.submit(step) for _ in range(depth))
        while (item := coming.popleft().result()) is not _END:
            coming.append(worker.submit(step))
            yield item      # type: ignore[misc]
    finally:
        worker.shutdown(wait=True, cancel_futures=True)


@contextmanager
def without_team() -> Iterator[None]:
    """Compute in this thread alone within the block, so that torch starts no team for it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
