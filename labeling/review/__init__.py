"""Decide: the review queue in SQL, its append-only decision log, and what a reviewer is shown."""
