"""Reference values of augmentation that make.py doesn't have: fill modes as Keras, brightness and contrast as Pillow.

usage: make_augment.py SAMPLES_DIR OUT_DIR
needs: keras numpy scipy pillow safetensors
"""
import os, sys
os.environ['KERAS_BACKEND'] = 'numpy'
import numpy as np
from PIL import Image, ImageEnhance
from safetensors.numpy import save_file
from keras.src.legacy.preprocessing.image import apply_affine_transform

images, out = sys.argv[1:]
names = sorted(n for n in os.listdir(images) if n.endswith('.jpg'))[:8]
small = np.stack([np.asarray(Image.open(os.path.join(images, n)).convert('RGB').resize((32, 32), Image.NEAREST)) for n in names])

# Changes [8, 7] as in augment.safetensors, far enough that some go round the image more than once; each with fill
# "reflect" and "constant".
rng = np.random.RandomState(30)
p = np.stack([[rng.uniform(-180, 180), *rng.uniform(-20, 20, 2), rng.uniform(-30, 30), *rng.uniform(.4, 1.9, 2), 0] for _ in names])
p[0] = [0, 0, 5.25, 0, 1, 1, 0]; p[1] = [0, -100.5, 70.25, 0, 1, 1, 0]; p[2] = [0, 0, 0, 0, 3.3, 3.7, 0]
p = p.astype('float32')
change = lambda x, q, fill: apply_affine_transform(x.astype('float32'), *q[:6].astype('float64'), row_axis=0, col_axis=1, channel_axis=2, fill_mode=fill, cval=0., order=1)
arrays = {fill: np.ascontiguousarray(np.stack([change(x, q, fill) for x, q in zip(small, p)]), 'float32') for fill in ('reflect', 'constant')}

# Factors [8, 2] of brightness and then contrast, as torchvision's ColorJitter applies them to Pillow's images.
f = rng.uniform(.3, 1.7, (len(names), 2)).astype('float32')
f[0, 1] = 1; f[1, 0] = 1
def jitter(x, brightness, contrast):
    x = ImageEnhance.Brightness(Image.fromarray(x)).enhance(float(brightness))
    return np.asarray(ImageEnhance.Contrast(x).enhance(float(contrast)))
arrays['jittered'] = np.stack([jitter(x, *q) for x, q in zip(small, f)])
save_file({'input': small, 'parameters': p, 'factors': f, **arrays}, f'{out}/augment_fill.safetensors')
