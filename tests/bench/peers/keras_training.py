"""A whole training in Keras as the write-up has it, on augmented images: from the files to the trained weights in a file.

usage: keras_training.py SAMPLES_DIR VGG16.safetensors THREADS VARIANT STEPS    prints JSON: seconds, of which fit, megabytes

VARIANT: augmented_cnn, vgg16_frozen or vgg16_finetuned. Trains on the first 120 photographs of each class, validates on 40 others.
"""
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from safetensors.numpy import load_file

samples, weights, threads, variant, steps = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
start = time.perf_counter()


def images(numbers):
    files = [samples / f"{label}.{number}.jpg" for label in ("cat", "dog") for number in numbers]
    pixels = np.stack([keras.utils.img_to_array(keras.utils.load_img(file, target_size=(150, 150))) for file in files])
    return pixels, np.repeat([0, 1], len(numbers))


def dense_head():
    return [layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.3), layers.Dense(512, activation="relu"),
            layers.Dropout(0.3), layers.Dense(1, activation="sigmoid")]


def network():
    stack = [layers.Input((150, 150, 3))]
    if variant == "augmented_cnn":
        for filters in (16, 64, 128, 128):
            stack += [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D(2)]
        return keras.Sequential(stack + dense_head())
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(150, 150, 3))
    tensors = load_file(weights)
    convolutions = [layer for layer in vgg.layers if isinstance(layer, layers.Conv2D)]
    for layer, n in zip(convolutions, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]):
        layer.set_weights([tensors[f"features.{n}.weight"].transpose(2, 3, 1, 0), tensors[f"features.{n}.bias"]])
    for layer in vgg.layers:
        layer.trainable = variant == "vgg16_finetuned" and layer.name.startswith(("block4", "block5"))
    return keras.Sequential(stack + [vgg] + dense_head())


train, validation = images(range(120)), images(range(120, 160))
change = ImageDataGenerator(rescale=1 / 255, zoom_range=0.3, rotation_range=50, width_shift_range=0.2, height_shift_range=0.2,
                            shear_range=0.2, horizontal_flip=True, fill_mode="nearest")
# As many images as the steps take, so that Keras's own prefetching feeds them.
order = np.arange(steps * 30) % len(train[0])
batches = change.flow(train[0][order], train[1][order], batch_size=30)
model = network()
rate = {"augmented_cnn": 1e-4, "vgg16_frozen": 2e-5, "vgg16_finetuned": 1e-5}[variant]
model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(rate), metrics=["accuracy"])

before_fit = time.perf_counter()
model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, validation_data=(validation[0] / 255, validation[1]))
fitted = time.perf_counter() - before_fit
with tempfile.TemporaryDirectory() as folder:
    model.save_weights(os.path.join(folder, "model.weights.h5"))
json.dump({"version": f"Keras {keras.__version__} (TensorFlow {tf.__version__})", "seconds": time.perf_counter() - start, "fit": fitted,
           "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}, sys.stdout)
