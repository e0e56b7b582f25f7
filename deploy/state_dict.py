"""Reads the tensors of a PyTorch state dict (.pth, .pt, old form and new) without PyTorch and without running what a pickle may ask
for: only the few names below are known, everything else is refused."""

import collections
import io
import pickle
import sys
import zipfile

# PyTorch's name of a storage -> bytes of an element.
STORAGES = {"FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "LongStorage": 8, "IntStorage": 4, "ByteStorage": 1, "BoolStorage": 1}
OLD_MAGIC = 0x1950A86A20F9469CFC6C


class Refused(Exception):
    """What the file is or asks for, in words for the user."""


Tensor = collections.namedtuple("Tensor", "kind shape data")  # kind: a name of STORAGES; data: its elements in order, as bytes
_Part = collections.namedtuple("_Part", "kind key offset shape stride")


def _rebuild(storage, offset, shape, stride, *_):
    kind, key = storage
    return _Part(kind, key, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        **{("torch", name): name for name in STORAGES},
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise Refused(f"asks for {module}.{name}; a state dict of plain tensors is wanted")
        return self.KNOWN[module, name]

    def persistent_load(self, pid):
        if not isinstance(pid, tuple) or len(pid) < 3 or pid[0] != "storage" or pid[1] not in STORAGES:
            raise Refused("holds something else than tensors")
        return pid[1], str(pid[2])


def _read(path):
    """(state, {key: bytes})."""
    content = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)):
        archive = zipfile.ZipFile(io.BytesIO(content))
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise Refused("a ZIP file, but no state dict")
        folder = index.removesuffix("data.pkl") + "data/"
        state = _Unpickler(io.BytesIO(archive.read(index))).load()
        return state, lambda kind, key: archive.read(folder + key)
    file = io.BytesIO(content)
    if _Unpickler(file).load() != OLD_MAGIC:
        raise Refused("no state dict of PyTorch's")
    _Unpickler(file).load()  # the protocol
    _Unpickler(file).load()  # the machine that wrote it
    state = _Unpickler(file).load()
    kinds = {part.key: part.kind for part in state.values() if isinstance(part, _Part)}
    storages = {}
    for key in _Unpickler(file).load():
        size = int.from_bytes(file.read(8), "little") * STORAGES[kinds[str(key)]]
        storages[str(key)] = file.read(size)
        if len(storages[str(key)]) != size:
            raise Refused("truncated: its last numbers are missing")
    return state, lambda kind, key: storages[key]


def read_state_dict(path):
    """{name: Tensor}, in the file's order."""
    if sys.byteorder != "little":
        raise Refused("state dicts are little-endian, and this machine isn't")
    try:
        state, storage = _read(path)
    except (Refused, OSError):
        raise
    except Exception as e:
        raise Refused(f"no state dict, or a damaged one: {type(e).__name__}: {e}") from e
    if not isinstance(state, dict) or not all(isinstance(part, _Part) for part in state.values()):
        raise Refused("no state dict: a dictionary of tensors is wanted")
    tensors = {}
    for name, part in state.items():
        size = STORAGES[part.kind]
        count, last = 1, part.offset
        for n, stride in zip(part.shape, part.stride):
            count *= n
            last += (n - 1) * stride
        data = storage(part.kind, part.key)
        # A stride of 0 would let a few bytes stand for any number of elements.
        whole = (*part.shape, *part.stride, part.offset)
        if not all(isinstance(n, int) and n >= 0 for n in whole) or count == 0 or max(count, last + 1) * size > len(data):
            raise Refused(f"{name} is empty, or lies outside of the file")
        tensors[name] = Tensor(part.kind, list(part.shape), _in_order(data, size, part, count))
    return tensors


def _in_order(data, size, part, count):
    want = 1
    for n, stride in zip(reversed(part.shape), reversed(part.stride)):
        if n > 1 and stride != want:
            break
        want *= n
    else:
        return data[part.offset * size : (part.offset + count) * size]
    places = [part.offset]
    for n, stride in zip(part.shape, part.stride):
        places = [place + i * stride for place in places for i in range(n)]
    return b"".join([data[place * size : (place + 1) * size] for place in places])
