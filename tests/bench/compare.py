"""Runs Graft's benchmarks and Keras's in turn, on the same threads in the same sitting, and prints the ratios.

usage: compare.py BUILD_DIR PYTHON_WITH_TENSORFLOW [THREADS] [ROUNDS]
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
build, python = pathlib.Path(sys.argv[1]), sys.argv[2]
threads, rounds = (sys.argv[3:] + ["2", "3"][len(sys.argv) - 3:])[:2]

ours, keras = {}, {}
for _ in range(int(rounds)):
    environment = dict(os.environ, GRAFT_BENCH_THREADS=threads, OMP_NUM_THREADS=threads)
    out = subprocess.run([build / "bin/graft_bench", "--benchmark_format=json"], env=environment, check=True,
                         capture_output=True, text=True).stdout
    for row in json.loads(out)["benchmarks"]:
        parts = row["name"].split("/")
        name = "/".join(p for p in parts if p not in ("real_time", "manual_time") and not p.startswith("iterations:"))
        scale = {"ns": 1e-6, "us": 1e-3, "ms": 1.0}[row["time_unit"]]
        ours.setdefault(name, []).append(row["real_time"] * scale)
    out = subprocess.run([python, root / "tests/bench/peers/keras_bench.py", root / "samples",
                          build / "share/graft/weights/vgg16.safetensors", threads], env=environment, check=True,
                         capture_output=True, text=True).stdout
    for name, value in json.loads(out.strip().splitlines()[-1]).items():
        keras.setdefault(name, []).append(value)

print(f"{threads} threads, {rounds} rounds in turn, medians, ms")
print(f"{'':28}{'Graft':>10}{'Keras':>10}{'ratio':>8}")
for name, values in ours.items():
    mine = statistics.median(values)
    line = f"{name:28}{mine:10.2f}"
    if name in keras:
        line += f"{statistics.median(keras[name]):10.2f}{mine / statistics.median(keras[name]):8.2f}"
    print(line)
trunk, served = statistics.median(ours["BM_Trunk/1"]), statistics.median(ours["BM_ClassifyOverGrpc"])
print(f"a photograph over gRPC against the bare trunk: {served / trunk:.3f}")
