"""The same work in Keras: the trunk on 1 and 30 images, an epoch of basic_cnn and of the dense head, decode and resize.

usage: keras_bench.py SAMPLES_DIR VGG16.safetensors THREADS    prints JSON: name -> milliseconds (minimum of several)
needs: tensorflow-cpu, pillow, safetensors
"""
import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image
from safetensors.numpy import load_file

samples, weights, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
results = {}


def best(name, repeats, call):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    results[name] = min(times) * 1000


vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(150, 150, 3))
tensors = load_file(weights)
convolutions = [layer for layer in vgg.layers if isinstance(layer, layers.Conv2D)]
for layer, n in zip(convolutions, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]):
    layer.set_weights([tensors[f"features.{n}.weight"].transpose(2, 3, 1, 0), tensors[f"features.{n}.bias"]])
forward = tf.function(lambda x: vgg(x, training=False))
for count in (1, 30):
    x = tf.random.uniform((count, 150, 150, 3)) * 255
    forward(x)
    best(f"BM_Trunk/{count}", 20 if count == 1 else 4, lambda: forward(x).numpy())


def compile_and_fit(name, model, rate, train, validation, epochs):
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(rate), metrics=["accuracy"])
    times = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            times.append(time.perf_counter() - self.start)

    labels = lambda x: np.arange(len(x)) % 2
    model.fit(train, labels(train), validation_data=(validation, labels(validation)), batch_size=30, epochs=epochs, verbose=0,
              callbacks=[Clock()])
    results[name] = min(times[1:]) * 1000


rng = np.random.RandomState(1)
images = lambda n: rng.rand(n, 150, 150, 3).astype("float32")
cnn = keras.Sequential([layers.Input((150, 150, 3))])
for filters in (16, 64, 128):
    cnn.add(layers.Conv2D(filters, 3, activation="relu"))
    cnn.add(layers.MaxPooling2D(2))
for layer in (layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dense(1, activation="sigmoid")):
    cnn.add(layer)
compile_and_fit("BM_Epoch/basic_cnn", cnn, 1e-3, images(240), images(80), 4)

head = keras.Sequential([layers.Input((8192,)), layers.Dense(512, activation="relu"), layers.Dropout(0.3),
                         layers.Dense(512, activation="relu"), layers.Dropout(0.3), layers.Dense(1, activation="sigmoid")])
features = lambda n: rng.rand(n, 8192).astype("float32")
compile_and_fit("BM_Epoch/vgg16_features", head, 1e-4, features(240), features(80), 10)

path = os.path.join(samples, "cat.199.jpg")
best("BM_DecodeAndResize", 200, lambda: np.asarray(Image.open(path).convert("RGB").resize((150, 150), Image.NEAREST)))
json.dump(results, sys.stdout)
