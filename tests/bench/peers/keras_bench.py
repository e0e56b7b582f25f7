"""The same work in Keras: trunk, training steps, epochs, decoding, augmentation, features from files.

usage: keras_bench.py SAMPLES_DIR VGG16.safetensors THREADS    prints JSON: name -> milliseconds (minimum of several)
"""
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from safetensors.numpy import load_file, save_file

from clock import best

samples, weights, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
results = {"version": f"Keras {keras.__version__} (TensorFlow {tf.__version__})"}


def trunk(side):
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(side, side, 3))
    tensors = load_file(weights)
    convolutions = [layer for layer in vgg.layers if isinstance(layer, layers.Conv2D)]
    for layer, n in zip(convolutions, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]):
        layer.set_weights([tensors[f"features.{n}.weight"].transpose(2, 3, 1, 0), tensors[f"features.{n}.bias"]])
    return vgg


for side, count in ((150, 1), (150, 30), (96, 8), (224, 8)):
    vgg = trunk(side)
    forward = tf.function(lambda x: vgg(x, training=False))
    x = tf.random.uniform((count, side, side, 3)) * 255
    results[f"BM_Trunk/side:{side}/batch:{count}"] = best(10 if count == 1 else 2, lambda: forward(x).numpy())

vgg = trunk(150)
x = tf.random.uniform((30, 150, 150, 3))


def step_of(variables):
    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(vgg(x, training=True))
        return tape.gradient(loss, variables)
    return step


step = step_of(vgg.trainable_variables)
results["BM_TrunkStep/all"] = best(1, lambda: [g.numpy() for g in step(x)])
top = step_of([v for v in vgg.trainable_variables if "block4" in v.path or "block5" in v.path])
results["BM_TrunkStep/blocks_4_and_5"] = best(1, lambda: [g.numpy() for g in top(x)])


# From files to features in a file, as the write-up does: generator, predict, save.
def features_from_files():
    files = sorted(pathlib.Path(samples).glob("*.jpg"))
    images = np.stack([keras.utils.img_to_array(keras.utils.load_img(f, target_size=(150, 150))) for f in files])
    prepared = keras.applications.vgg16.preprocess_input(images)
    features = vgg.predict(prepared, batch_size=30, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        save_file({"features": features.reshape(len(files), -1)}, os.path.join(folder, "features.safetensors"))


vgg.predict(np.zeros((30, 150, 150, 3), "float32"), verbose=0)
results["BM_FeaturesFromFiles"] = best(1, features_from_files, warm_up=False)


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
results["BM_DecodeAndResize"] = best(200, lambda: keras.utils.img_to_array(keras.utils.load_img(path, target_size=(150, 150))))

generator = ImageDataGenerator(rescale=1 / 255, zoom_range=0.3, rotation_range=50, width_shift_range=0.2,
                               height_shift_range=0.2, shear_range=0.2, horizontal_flip=True, fill_mode="nearest")
batches = generator.flow(images(300), np.zeros(300), batch_size=30)
results["BM_Augment"] = best(9, lambda: next(batches))
results["BM_Augment"] /= 30
json.dump(results, sys.stdout)
