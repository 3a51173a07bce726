"""Scenes drawn by formula: what the trainer learns from."""
