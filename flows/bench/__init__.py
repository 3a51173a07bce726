"""`labeling bench`: this machine's speed, alone or beside a peer; `bench.run_bench` is where it begins."""
