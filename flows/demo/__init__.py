"""`labeling demo`: drawn clips from a local S3 through the whole pipeline; `demo.py` is where it begins."""
