"""`labeling bench`: this machine's speed, alone or beside a peer; `bench.py` is where it begins."""
