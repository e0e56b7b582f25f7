"""Kernels are compiled for CPUs that not everybody has. A function that they share with other files (an inline one of a header)
would be linked once, perhaps compiled for the wrong CPU: so each object may define only what is in its own namespace.

usage: symbols_test.py NM NAMESPACE OBJECT    exits with 1 and lists what is defined beside that
"""
import subprocess
import sys

nm, namespace, path = sys.argv[1:]
mangled = f"{len(namespace)}{namespace}"
defined = shared = 0
for line in subprocess.run([nm, "--defined-only", path], check=True, capture_output=True, text=True).stdout.splitlines():
    kind, symbol = line.split()[-2:]
    if kind in "tTwWvVuBbDdRr" and "." not in symbol.split("_Z")[0]:
        defined += 1
        if kind in "TWVuwvBDR" and mangled not in symbol:
            shared += 1
            print(f"{symbol} ({kind}) isn't in namespace {namespace}")
print(f"{defined} symbols, {shared} shared")
sys.exit(1 if shared or defined < 10 else 0)
