"""Puts LibTorch into DIR/torch (include/, lib/, share/), taken from the torch wheel. Run by deploy/setup.

The wheel is the one package of LibTorch that pip, with whatever index or mirror it is set up for, finds for every machine. Of a
CUDA build the NVIDIA libraries that its metadata names come along, into DIR/nvidia: the wheel's libraries look for them in
$ORIGIN/../../nvidia, so DIR takes the place of site-packages and nothing has to be patched or put on a search path.
"""

import argparse
import email
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

STAMP = ".graft-version"  # line 1: the version asked for, which deploy/setup compares; line 2: the build that came
WANTED = re.compile(r"torch/(include/|lib/|share/|version\.py$)")  # not the Python part, half of the files
# The metadata also names triton and cuda-bindings; only torch's Python part uses those.
NVIDIA = re.compile(r"(nvidia-|cuda-toolkit\b)")


def pip(*args):
    subprocess.run([sys.executable, "-m", "pip", *args, "--quiet", "--only-binary=:all:"], check=True)


def companions(metadata):
    """The requirements in a wheel's METADATA that are NVIDIA's libraries; none for a CPU build."""
    requirements = email.message_from_string(metadata).get_all("Requires-Dist", [])
    return [r for r in requirements if NVIDIA.match(r) and "extra ==" not in r]


def unpack(wheel, into):
    """Unpacks what is needed of the wheel; returns its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(into, [n for n in names if WANTED.match(n)])
        metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
        return archive.read(metadata).decode()


def unresolved(lib):
    """Libraries that the loader would not find. The GPU driver's own (libcuda) is no part of any package."""
    lines = set()
    for name in ("libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so"):
        if (lib / name).exists():
            out = subprocess.run(["ldd", lib / name], capture_output=True, text=True, check=True).stdout
            lines |= {line.split()[0] for line in out.splitlines() if "not found" in line}
    return sorted(lines - {"libcuda.so.1"})


def replace(new, target):
    """Puts folder `new` in the place of `target`, which is missing only between two renames. No `new`: only removes."""
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    if new.exists():
        new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()

    # On the same file system as its target, for the renames. Always the same name, so that a run that was cut off leaves
    # nothing behind for long.
    new = args.out / ".unpacking"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        print(f"    fetching torch=={args.version} with pip", flush=True)
        pip("download", "--no-deps", "--dest", new / "wheel", f"torch=={args.version}")
        wheel = next((new / "wheel").glob("torch-*.whl"))
        print(f"    unpacking {wheel.name}", flush=True)
        nvidia = companions(unpack(wheel, new))
        shutil.rmtree(new / "wheel")
        if nvidia:
            print("    a CUDA build: fetching NVIDIA's libraries, several GB", flush=True)
            pip("install", "--no-compile", "--target", new / "site", *nvidia)
            (new / "site" / "nvidia").rename(new / "nvidia")
        missing = unresolved(new / "torch" / "lib")
        if missing:
            sys.exit(f"error: {wheel.name} needs libraries that are not here: {', '.join(missing)}")
        build = wheel.name.split("-")[1]
        (new / "torch" / STAMP).write_text(f"{args.version}\n{build}{' with CUDA' if nvidia else ''}\n")
        replace(new / "nvidia", args.out / "nvidia")
        replace(new / "torch", args.out / "torch")
    except subprocess.CalledProcessError as e:
        sys.exit(
            f"error: {' '.join(map(str, e.cmd[2:4]))} failed (see above). Is there a torch {args.version} for this machine and its "
            "python3? Without a network: unpack LibTorch from elsewhere, and set GRAFT_TORCH_DIR to its folder."
        )
    except OSError as e:
        sys.exit(f"error: LibTorch could not be unpacked: {e}")
    finally:
        shutil.rmtree(new, ignore_errors=True)


if __name__ == "__main__":
    main()
