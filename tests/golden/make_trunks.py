"""Features of EfficientNet-Lite, by timm from its own network: of samples/cat.0.jpg, resized by Pillow's BILINEAR to the size that each
one's weights were trained at, (RGB - 127) / 128, after the last convolution, its batch norm and ReLU6, as height x width x channels.

    python tests/golden/make_trunks.py samples build/weights OUT_DIR

needs: pillow, safetensors, timm, torch"""
import pathlib
import sys

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import load_file

samples, weights, out = map(pathlib.Path, sys.argv[1:])
golden = {}
with torch.inference_mode():
    for name, size in (("efficientnet_lite0", 224), ("efficientnet_lite2", 260)):
        network = timm.create_model(f"tf_{name}").eval()
        network.load_state_dict(load_file(weights / f"{name}.safetensors"), strict=False)
        pixels = np.asarray(Image.open(samples / "cat.0.jpg").convert("RGB").resize((size, size), Image.BILINEAR))[None]
        x = (torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() - 127) / 128
        golden[f"{name}.pixels"] = pixels
        golden[name] = network.forward_features(x).permute(0, 2, 3, 1).contiguous().numpy()
save_file(golden, out / "trunks.safetensors")
