"""Labelled videos on disk in the layouts of others, cut into clips."""
