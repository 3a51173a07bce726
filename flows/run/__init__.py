"""Steps of a run: plan, progress, figures, report, status, and the review queue that a dataset has."""
