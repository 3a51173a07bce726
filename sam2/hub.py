"""Weights by their id on Hugging Face's hub, through its own client where that is installed."""

from sam2.variants import TRUNKS

LETTERS = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}

# id on the hub -> configuration, file of weights
HF_MODEL_ID_TO_FILENAMES = {
    f"facebook/{version}-hiera-{LETTERS[letter]}": (
        f"configs/{version}/{version}_hiera_{letter}.yaml", f"{version}_hiera_{LETTERS[letter].replace('-', '_')}.pt"
    )
    for version in ("sam2", "sam2.1")
    for letter in TRUNKS
}  # fmt: skip


def hub_files(model_id: str) -> tuple[str, str]:
    """Return the name of the configuration and the path of the weights that a hub's id stands for.

    The hub's client fetches what its cache lacks, and nothing where `HF_HUB_OFFLINE` says so. Raises KeyError for an
    unknown id, ImportError without the client, and what the client raises where the file cannot be had.
    """
    if model_id not in HF_MODEL_ID_TO_FILENAMES:
        raise KeyError(f"model_id={model_id!r}: expected one of {', '.join(HF_MODEL_ID_TO_FILENAMES)}")
    config_name, file_name = HF_MODEL_ID_TO_FILENAMES[model_id]
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"{model_id!r} is fetched by huggingface_hub, which is not installed: pip install huggingface_hub; or run "
            "`labeling checkpoints fetch` and pass the file to build_sam2 or build_sam2_video_predictor"
        ) from error
    try:
        return config_name, hf_hub_download(repo_id=model_id, filename=file_name)
    except Exception as error:
        error.add_note(f"{file_name} of {model_id} could not be had from the hub; `labeling checkpoints fetch` brings it, too")
        raise
