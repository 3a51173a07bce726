"""Freed memory stays with the process: in one of its own, since the setting cannot be taken back."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from sam2.training.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.ones(4_000_000)
plain = faults()
assert keep_freed_memory()
torch.ones(4_000_000)
print(plain, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_second_block_costs_no_page_faults() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    plain, kept = map(int, told.stdout.split())
    assert kept < plain / 10, told.stdout
