"""Detectors from local checkpoints; nothing is fetched. `open.py` makes one of a configuration."""
