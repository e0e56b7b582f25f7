"""Features of trunks, by timm from its own networks: of samples/cat.0.jpg, resized by Pillow's BILINEAR to the size that each one's weights
were trained at, as height x width x channels.

EfficientNet-Lite: the published weights; (RGB - 127) / 128; after the last convolution, its batch norm and ReLU6. ResNet-50 and DINOv2
ViT-S/14, whose weights are large: made ones (made()), which the test makes too; RGB with ImageNet's mean and deviation; after the last block,
and the tokens after the last norm, the class token first, of places that were learned for 37 x 37 patches and are resized to 16 x 16. What
holds for these holds for any weights.

    python tests/golden/make_trunks.py samples build/weights OUT_DIR

needs: numpy, pillow, safetensors, timm, torch"""
import hashlib
import pathlib
import sys

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import load_file

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def made(name, shape):
    """Numbers that keep a network's activations in range. Number i comes from SplitMix64 of the first eight bytes of the name's SHA-256
    (little-endian) plus i: its upper 24 bits by 2^24."""
    count = int(np.prod(shape))
    seed = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        z = seed + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) / 2**24
    if name.endswith("running_var"):
        values = 0.5 + u
    elif len(shape) == 1 and name.endswith(("weight", "gamma")):
        values = 0.75 + 0.5 * u
    elif len(shape) == 1:
        values = 0.2 * (u - 0.5)
    elif name in ("cls_token", "pos_embed"):
        values = 0.4 * (u - 0.5)
    else:
        values = (2 * u - 1) * np.sqrt(3 / (count / shape[0]))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def pixels(path, size):
    return np.array(Image.open(path).convert("RGB").resize((size, size), Image.BILINEAR))[None]


def planes(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def rows(features):
    return features.permute(0, 2, 3, 1).contiguous().numpy()


def main():
    samples, weights, out = map(pathlib.Path, sys.argv[1:])
    golden = {}
    with torch.inference_mode():
        for name, size in (("efficientnet_lite0", 224), ("efficientnet_lite2", 260)):
            network = timm.create_model(f"tf_{name}").eval()
            network.load_state_dict(load_file(weights / f"{name}.safetensors"), strict=False)
            golden[f"{name}.pixels"] = pixels(samples / "cat.0.jpg", size)
            golden[name] = rows(network.forward_features((planes(golden[f"{name}.pixels"]) - 127) / 128))
        for name, network in (
            ("resnet50", timm.create_model("resnet50")),
            ("dinov2_vits14", timm.create_model("vit_small_patch14_dinov2", dynamic_img_size=True)),
        ):
            network.eval().load_state_dict({name: made(name, value.shape) for name, value in network.state_dict().items() if value.ndim}, strict=False)
            golden[f"{name}.pixels"] = golden["efficientnet_lite0.pixels"]
            features = network.forward_features((planes(golden[f"{name}.pixels"]) / 255 - MEAN) / DEVIATION)
            golden[name] = rows(features) if features.ndim == 4 else features.contiguous().numpy()
    save_file(golden, out / "trunks.safetensors")


main()
