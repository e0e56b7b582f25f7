"""Kernels are compiled for CPUs that not everybody has. A function that they share with other files (an inline one of a header)
would be linked once, perhaps compiled for the wrong CPU: so each object may define only what is in its own namespace.

usage: symbols_test.py NM NAMESPACE OBJECT    exits with 1 and lists what is defined beside that
"""
import subprocess
import sys

nm, namespace, path = sys.argv[1:]
mangled = f"{len(namespace)}{namespace}"
# "ADDRESS KIND SYMBOL"; nm's kinds of what other objects can see, functions and data, strong and weak.
lines = subprocess.run([nm, "--defined-only", path], check=True, capture_output=True, text=True).stdout.splitlines()
visible = [symbol for kind, symbol in (line.split()[-2:] for line in lines) if kind in "TDBRWVuvw"]
shared = [symbol for symbol in visible if mangled not in symbol]
for symbol in shared:
    print(f"{symbol} isn't in namespace {namespace}")
print(f"{len(visible)} symbols, {len(shared)} shared")
sys.exit(1 if shared or not visible else 0)
