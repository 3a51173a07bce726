"""SAM 2: the network, its predictors for images and videos, and their weights."""

from sam2.hydra_search import offer_configs

offer_configs()
