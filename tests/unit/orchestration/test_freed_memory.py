"""Memory that models freed is there for the next model, and goes back before another process works."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

MEGABYTES = 64
PROGRAM = f"""
import json, resource
import numpy as np
from orchestration.freed_memory import give_back_freed_memory, keep_freed_memory

def faults(times=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones({MEGABYTES} << 17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() >> 20

faults(1)
told = {{"by default": faults()}}
keep_freed_memory()
faults(1)
told |= {{"kept": faults(), "resident": resident()}}
give_back_freed_memory()
print(json.dumps(told | {{"given back": resident()}}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library here is not glibc")
def test_freed_memory_is_used_again_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["by default"] > 5 * 0.9 * MEGABYTES * 256 / 512  # pages, where the kernel gives 512 at once
    assert told["kept"] < told["by default"] / 10
    assert told["given back"] < told["resident"] - 0.9 * MEGABYTES


def test_polars_is_told_before_it_is_loaded() -> None:
    program = "import orchestration, os, polars; print(os.environ['_RJEM_MALLOC_CONF'])"
    environment = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().endswith("dirty_decay_ms:10000")  # the last word holds
