"""Training and measuring networks: `train.py`, `evaluate.py`, and `data.py` for their clips."""
