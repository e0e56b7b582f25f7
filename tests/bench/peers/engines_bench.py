"""VGG16's trunk at 150 x 150 in three inference engines, float32, on the same weights.

usage: engines_bench.py VGG16.safetensors THREADS    prints JSON: engine -> {name -> milliseconds (minimum of several)}
"""
import json
import os
import sys
import tempfile

import ncnn
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from clock import best

weights, threads = load_file(sys.argv[1]), int(sys.argv[2])
BLOCKS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
rng = np.random.RandomState(1)
inputs = {count: (rng.rand(count, 3, 150, 150) * 255 - 117).astype("float32") for count in (1, 30)}


def layers():
    """(filters, weight, bias) of each convolution, and None for a pool."""
    n = 0
    for filters, convolutions in BLOCKS:
        for _ in range(convolutions):
            yield filters, weights[f"features.{n}.weight"], weights[f"features.{n}.bias"]
            n += 2
        yield None
        n += 1


def measure(run):
    return {f"BM_Trunk/side:150/batch:{count}": best(10 if count == 1 else 3, lambda x=x: run(x))
            for count, x in inputs.items()}


def onnx_model(path):
    nodes, tensors, current = [], [], "x"
    for i, layer in enumerate(layers()):
        if layer is None:
            nodes.append(helper.make_node("MaxPool", [current], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
            current = f"p{i}"
            continue
        tensors += [numpy_helper.from_array(layer[1], f"w{i}"), numpy_helper.from_array(layer[2], f"b{i}")]
        nodes.append(helper.make_node("Conv", [current, f"w{i}", f"b{i}"], [f"c{i}"], kernel_shape=[3, 3], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        current = f"r{i}"
    nodes[-1].output[0] = "y"
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "trunk", [value("x", ["n", 3, 150, 150])], [value("y", ["n", 512, 4, 4])], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


results, outputs = {}, {}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "trunk.onnx")
    onnx_model(path)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run = lambda x: session.run(None, {"x": x})[0]
    results[f"ONNX Runtime {onnxruntime.__version__}"] = measure(run)
    outputs["onnxruntime"] = run(inputs[1])

    core = openvino.Core()
    requests = {}
    for count in inputs:
        model = core.read_model(path)
        model.reshape([count, 3, 150, 150])
        requests[count] = core.compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    run = lambda x: requests[len(x)].infer({0: x})[0]
    results[f"OpenVINO {openvino.__version__.split('-')[0]}"] = measure(run)
    outputs["openvino"] = run(inputs[1])

    lines, blob = ["Input x 0 1 x 0=150 1=150 2=3"], "x"
    with open(os.path.join(folder, "trunk.bin"), "wb") as out:
        for i, layer in enumerate(layers()):
            if layer is None:
                lines.append(f"Pooling p{i} 1 1 {blob} p{i} 0=0 1=2 2=2 5=1")
                blob = f"p{i}"
                continue
            filters, weight, bias = layer
            lines.append(f"Convolution c{i} 1 1 {blob} c{i} 0={filters} 1=3 4=1 5=1 6={weight.size} 9=1")
            blob = f"c{i}"
            out.write(bytes(4) + weight.tobytes() + bias.tobytes())
    with open(os.path.join(folder, "trunk.param"), "w") as out:
        out.write(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
    net = ncnn.Net()
    net.opt.num_threads = threads
    for reduced in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, reduced, False)
    net.load_param(os.path.join(folder, "trunk.param"))
    net.load_model(os.path.join(folder, "trunk.bin"))

    def run(x):  # an image at a time: it knows no batches
        features = []
        for image in x:
            extractor = net.create_extractor()
            extractor.input("x", ncnn.Mat(image))
            features.append(np.array(extractor.extract(blob)[1]))
        return np.stack(features)

    results[f"ncnn {ncnn.__version__} (Winograd)"] = measure(run)
    outputs["ncnn"] = run(inputs[1])

# All three must have run the same network.
reference = outputs["onnxruntime"]
for name, y in outputs.items():
    error = np.abs(y - reference).max() / np.abs(reference).max()
    if not error < 1e-3:
        sys.exit(f"{name}'s features differ by {error:.2g} of the largest")
json.dump(results, sys.stdout)
