"""A second generator of scenes, solids seen by a camera: to measure with, never trained on."""
