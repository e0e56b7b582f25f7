"""Pixels of Pillow's resize filters that Graft's own code must reproduce.

usage: make_filters.py IMAGES_DIR OUT_DIR
needs: pillow==13.0.0 numpy safetensors
Arrays are uint8, height x width x RGB. Photographs show the common case; noise is narrow (columns first), wide, and small.
"""
import os, sys
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

images, out = sys.argv[1:]
names = ['cat.0.jpg', 'cat.4.jpg', 'dog.1.jpg', 'dog.7.jpg']
filters = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC, 'box': Image.BOX}
rng = np.random.RandomState(5)
noise = {'narrow': (150, 40), 'wide': (37, 140), 'small': (20, 29), 'dot': (1, 1)}
tensors = {'names': np.frombuffer('\n'.join(names).encode(), np.uint8)}
for shape, (height, width) in noise.items():
    tensors[shape] = rng.randint(0, 256, (height, width, 3)).astype('uint8')
for name, code in filters.items():
    def resize(image, size):
        return np.asarray(image.resize((size, size), code))
    tensors[f'{name}.photographs'] = np.stack(
        [resize(Image.open(os.path.join(images, n)).convert('RGB'), 64) for n in names])
    for shape in noise:
        tensors[f'{name}.{shape}'] = resize(Image.fromarray(tensors[shape]), 33)
save_file(tensors, f'{out}/resize_filters.safetensors')
