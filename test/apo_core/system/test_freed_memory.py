import platform
import subprocess
import sys

import pytest

# prints how many blocks are mappings of their own: before and after one of 4 MiB, when one of 16 MiB was freed
_COUNT = """
import ctypes, sys
from apo_core.system.freed_memory import return_large_blocks
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usm fsm used free top".split()]
library = ctypes.CDLL(None)
library.mallinfo2.restype = Info
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "returned":
    return_large_blocks()
library.free(library.malloc(16 << 20))
before = library.mallinfo2().hblks
library.malloc(4 << 20)
print(library.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(("mode", "mappings"), [("returned", "1"), ("kept", "0")])
def test_a_large_block_is_a_mapping_of_its_own(mode, mappings):
    done = subprocess.run([sys.executable, "-c", _COUNT, mode], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mappings
