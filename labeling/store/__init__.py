"""The store: Parquet under one root, a ledger of what is done, immutable snapshots, and what reads them back."""

from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.snapshots import Snapshot, read_snapshot

__all__ = ["Snapshot", "StoredMasklet", "read_masklets", "read_snapshot"]
