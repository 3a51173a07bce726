"""Judging a masklet without the truth: signals from run lengths and scores, and rules that turn them into verdicts."""
