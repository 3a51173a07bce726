"""What all tests of tracking share."""

from tests.sam2.clips import one_thread

__all__ = ["one_thread"]
