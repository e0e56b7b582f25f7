"""EfficientNet-Lite in PyTorch, ONNX Runtime and OpenVINO, float32, on the same weights, batch norms folded; a training step of its last two
stages in PyTorch; and what the machine can do: multiplications and memory.

usage: trunks_bench.py WEIGHTS_DIR THREADS    prints JSON: engine -> {name -> milliseconds (minimum of several)}, and "machine"
"""
import json
import os
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from clock import best

weights_dir, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
# Side of an image; of each stage: expansion, channels, window, stride, repeats.
TRUNKS = {
    "efficientnet_lite0": (224, [(1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3), (6, 192, 5, 2, 4), (6, 320, 3, 1, 1)]),
    "efficientnet_lite2": (260, [(1, 16, 3, 1, 1), (6, 24, 3, 2, 3), (6, 48, 5, 2, 3), (6, 88, 3, 2, 4), (6, 120, 5, 1, 4), (6, 208, 5, 2, 5), (6, 352, 3, 1, 1)]),
}
EPSILON = 1e-3
BATCHES = (1, 8)


def convolutions(name):
    """In their order: stage, names of the convolution and its norm, window, stride, ReLU6 behind it, and whether a block begins here, or ends
    with the sum of its input."""
    _, stages = TRUNKS[name]
    yield 0, "conv_stem", "bn1", 3, 2, True, False, False
    channels = 32
    for i, (expansion, out, window, stride, repeats) in enumerate(stages):
        for j in range(repeats):
            block, step = f"blocks.{i}.{j}", stride if j == 0 else 1
            adds = step == 1 and channels == out
            if expansion > 1:
                yield i, f"{block}.conv_pw", f"{block}.bn1", 1, 1, True, True, False
                yield i, f"{block}.conv_dw", f"{block}.bn2", window, step, True, False, False
                yield i, f"{block}.conv_pwl", f"{block}.bn3", 1, 1, False, False, adds
            else:
                yield i, f"{block}.conv_dw", f"{block}.bn1", window, step, True, True, False
                yield i, f"{block}.conv_pw", f"{block}.bn2", 1, 1, False, False, adds
            channels = out
    yield len(stages) - 1, "conv_head", "bn2", 1, 1, True, False, False


def folded(tensors, convolution, norm):
    factor = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + EPSILON)
    return tensors[f"{convolution}.weight"] * factor[:, None, None, None], tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * factor


def padding(side, window, stride):
    """TensorFlow's SAME: before and after."""
    total = max(0, (-(-side // stride) - 1) * stride + window - side)
    return total // 2, total - total // 2


def onnx_model(name, tensors, path):
    nodes, values, current, block_input = [], [], "x", None
    values.append(numpy_helper.from_array(np.float32(0), "zero"))
    values.append(numpy_helper.from_array(np.float32(6), "six"))
    for k, (_, convolution, norm, window, stride, relu, begins, adds) in enumerate(convolutions(name)):
        block_input = current if begins else block_input
        weight, bias = folded(tensors, convolution, norm)
        values += [numpy_helper.from_array(weight, f"w{k}"), numpy_helper.from_array(bias, f"b{k}")]
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        nodes.append(helper.make_node("Conv", [current, f"w{k}", f"b{k}"], [f"c{k}"], kernel_shape=[window] * 2, strides=[stride] * 2,
                                      group=groups, auto_pad="SAME_UPPER"))
        current = f"c{k}"
        if relu:
            nodes.append(helper.make_node("Clip", [current, "zero", "six"], [f"r{k}"]))
            current = f"r{k}"
        if adds:
            nodes.append(helper.make_node("Add", [current, block_input], [f"a{k}"]))
            current = f"a{k}"
    nodes[-1].output[0] = "y"
    value = lambda called, shape: helper.make_tensor_value_info(called, TensorProto.FLOAT, shape)
    side = TRUNKS[name][0]
    graph = helper.make_graph(nodes, "trunk", [value("x", ["n", 3, side, side])], [value("y", ["n", 1280, None, None])], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def torch_layers(name, tensors, first_trained=None):
    """Weight, bias, norm, and the rest of convolutions(). Those from `first_trained` on have a batch norm that trains, the others one that is
    folded."""
    layers = []
    for k, (_, convolution, norm, *rest) in enumerate(convolutions(name)):
        norms = None
        if first_trained is not None and k >= first_trained:
            weight, bias = torch.from_numpy(tensors[f"{convolution}.weight"].copy()), None
            norms = [torch.from_numpy(tensors[f"{norm}.{part}"].copy()) for part in ("weight", "bias", "running_mean", "running_var")]
        else:
            weight, bias = (torch.from_numpy(np.ascontiguousarray(t)) for t in folded(tensors, convolution, norm))
        weight = weight.contiguous(memory_format=torch.channels_last)
        for trained in (weight, *norms[:2]) if norms is not None else ():
            trained.requires_grad_()
        layers.append((weight, bias, norms, *rest))
    return layers


def run_torch(x, layers):
    block_input = None
    for weight, bias, norms, window, stride, relu, begins, adds in layers:
        block_input = x if begins else block_input
        before, after = padding(x.shape[-1], window, stride)
        pad = before
        if before != after:
            x, pad = F.pad(x, (before, after, before, after)), 0
        x = F.conv2d(x, weight, bias, stride, pad, 1, weight.shape[0] if weight.shape[1] == 1 else 1)
        if norms is not None:
            x = F.batch_norm(x, norms[2], norms[3], norms[0], norms[1], True, 0.1, EPSILON)
        if relu:
            x = x.clamp_(0, 6) if norms is None else x.clamp(0, 6)
        x = x + block_input if adds else x
    return x


def training_step(name, tensors):
    """The last two stages and the head train, with batch norms that do; what is before them is frozen and folded."""
    last = len(TRUNKS[name][1]) - 2
    first = next(k for k, row in enumerate(convolutions(name)) if row[0] >= last)
    layers = torch_layers(name, tensors, first)
    trained = [t for weight, _, norms, *_ in layers if norms is not None for t in (weight, *norms[:2])]

    def step(x):
        for tensor in trained:
            tensor.grad = None
        with torch.no_grad():
            features = run_torch(x, layers[:first])
        run_torch(features, layers[first:]).sum().backward()

    return step


def machine():
    """Multiply-adds a second in a large product of matrices, and bytes a second of a large copy (read and written)."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    product = best(5, lambda: torch.mm(a, b))
    source, target = torch.rand(64 << 20), torch.empty(64 << 20)
    copy = best(5, lambda: target.copy_(source))
    return {"multiply_adds": 2048**3 / product * 1000, "bytes": 2 * source.numel() * 4 / copy * 1000}


def roofline(name):
    """Multiply-adds of an image, and bytes of what convolutions read and write of it, each fused with what follows: with each block's three
    convolutions by themselves, and with only what goes in and out of a block."""
    side, channels, apart, blocks, products = TRUNKS[name][0], 3, 0, 0, 0
    entered = None
    for _, convolution, norm, window, stride, _, begins, adds in convolutions(name):
        weight = shapes[name][f"{convolution}.weight"]
        out = -(-side // stride)
        entered = (side, channels) if begins else entered
        products += out * out * int(np.prod(weight))
        apart += 4 * (side * side * channels + out * out * weight[0]) + (4 * out * out * weight[0] if adds else 0)
        if not convolution.startswith("blocks"):
            blocks += 4 * (side * side * channels + out * out * weight[0])
        elif convolution.endswith(("conv_pwl", "conv_pw")) and not begins:
            blocks += 4 * (entered[0] ** 2 * entered[1] * (2 if adds else 1) + out * out * weight[0])
        side, channels = out, weight[0]
    return {"multiply_adds": products, "bytes_apart": apart, "bytes_blocks": blocks}


results, shapes, rooflines = {}, {}, {}


def keep(engine, name, value):
    results.setdefault(engine, {})[name] = value


for name, (side, _) in TRUNKS.items():
    tensors = load_file(weights_dir / f"{name}.safetensors")
    shapes[name] = {key: value.shape for key, value in tensors.items()}
    rooflines[name] = roofline(name)
    rng = np.random.RandomState(1)
    inputs = {count: rng.rand(count, 3, side, side).astype("float32") * 2 - 1 for count in BATCHES}
    repeats = lambda count: 40 if count == 1 else 10
    outputs = {}

    layers = torch_layers(name, tensors)
    with torch.inference_mode():
        for count, x in inputs.items():
            images = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
            keep(f"PyTorch {torch.__version__.split('+')[0]}", f"BM_LiteTrunk/{name}/batch:{count}", best(repeats(count), lambda: run_torch(images, layers)))
            outputs["pytorch"] = run_torch(images, layers).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trunk.onnx")
        onnx_model(name, tensors, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        core = openvino.Core()
        for count, x in inputs.items():
            keep(f"ONNX Runtime {onnxruntime.__version__}", f"BM_LiteTrunk/{name}/batch:{count}", best(repeats(count), lambda: session.run(None, {"x": x})))
            outputs["onnxruntime"] = session.run(None, {"x": x})[0]
            model = core.read_model(path)
            model.reshape([count, 3, side, side])
            request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                                                        "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
            keep(f"OpenVINO {openvino.__version__.split('-')[0]}", f"BM_LiteTrunk/{name}/batch:{count}", best(repeats(count), lambda: request.infer({0: x})))
            outputs["openvino"] = request.infer({0: x})[0]
    for engine, y in outputs.items():  # all must have run the same network
        error = np.abs(y - outputs["pytorch"]).max() / np.abs(outputs["pytorch"]).max()
        if not error < 1e-3:
            sys.exit(f"{name}: {engine}'s features differ by {error:.2g} of the largest")

name = "efficientnet_lite0"
step = training_step(name, load_file(weights_dir / f"{name}.safetensors"))
images = torch.rand(8, 3, 224, 224).contiguous(memory_format=torch.channels_last)
keep(f"PyTorch {torch.__version__.split('+')[0]}", "BM_LiteStep", best(10, lambda: step(images)))
json.dump({"engines": results, "machine": machine(), "rooflines": rooflines}, sys.stdout)
