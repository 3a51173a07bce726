"""`labeling stack`: a cluster's parts as processes of this machine; `stack.py` is where it begins."""
