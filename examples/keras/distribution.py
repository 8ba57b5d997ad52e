"""A converted model on several devices or hosts, by Keras's own engines, trained and folded.

    python examples/keras/distribution.py mirrored   [--save FOLDER]   one host, TensorFlow
    python examples/keras/distribution.py workers    [--save FOLDER]   several hosts, TensorFlow
    KERAS_BACKEND=jax \
    python examples/keras/distribution.py data       [--save FOLDER]   one host, JAX

``mirrored`` is ``tf.distribute.MirroredStrategy``, ``workers`` ``MultiWorkerMirroredStrategy``,
``data`` ``keras.distribution.DataParallel``. On a cluster start ``workers`` on each host, with the
``TF_CONFIG`` that TensorFlow asks for; where there is none, two workers are started on this one.
A host without GPUs counts as two devices.

Three lines are DO-Conv's. The model is built and converted within the strategy's scope, so that D
lives where W does; it is folded at the end, outside of the scope, as a copy: that one is an
ordinary model, for one device. Batch norms are synchronized, and so the model is the one that a
single device would have trained.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=2 {os.environ.get('XLA_FLAGS', '')}"  # of JAX
)

import keras
import numpy as np
from sklearn.datasets import load_digits

from doconv_tf import convert, fold

ENGINES = ("mirrored", "workers", "data")
BATCH = 128
"""Images in a step, over all devices."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,024 images of 8 x 8, in [0, 1], and what they show."""
    images, labels = load_digits(return_X_y=True)
    return images[:1024].reshape(-1, 8, 8, 1).astype(np.float32) / 16, labels[:1024]


def built() -> keras.Model:
    """A small converted model, compiled; the same wherever it is built."""
    keras.utils.set_random_seed(0)
    L = keras.layers
    synchronized = keras.backend.backend() == "tensorflow"  # JAX sees the whole batch as it is
    model = convert(
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                L.Conv2D(16, 3, padding="same", use_bias=False),
                L.BatchNormalization(synchronized=synchronized),
                L.ReLU(),
                L.DepthwiseConv2D(3, padding="same"),
                L.Conv2D(16, 3, strides=2, groups=2, activation="relu"),
                L.GlobalAveragePooling2D(),
                L.Dense(10),
            ]
        )
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    return model


def trained(engine: str = "", *, epochs: int = 2) -> tuple[keras.Model, Any]:
    """A model trained by an engine, or on one device; and TensorFlow's strategy."""
    strategy = strategy_of(engine)
    with strategy.scope() if strategy else nullcontext():
        model = built()
    images, labels = digits()
    if engine == "workers":
        fit_as_worker(model, strategy, images, labels, epochs)
    else:
        model.fit(images, labels, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
    return model, strategy


def fit_as_worker(
    model: keras.Model, strategy: Any, images: np.ndarray, labels: np.ndarray, epochs: int
) -> None:
    """Keras's own step for this worker's share of every batch.

    Keras 3.15's ``fit`` and ``train_on_batch`` fail with more than one worker, for any model: they
    reduce a tuple, and a loss that has no axis to be reduced over.
    """
    import tensorflow as tf

    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    step = tf.function(lambda *batch: strategy.run(model.train_step, args=(batch,)))
    workers = strategy.cluster_resolver.cluster_spec().num_tasks("worker")
    for first in range(0, len(images) * epochs, BATCH):
        batch = np.arange(first, first + BATCH) % len(images)
        share = np.split(batch, workers)[strategy.cluster_resolver.task_id]
        step(tf.constant(images[share]), tf.constant(labels[share]))


def strategy_of(engine: str) -> Any:
    """TensorFlow's strategy; none on one device, nor on JAX, where Keras distributes by itself."""
    if engine == "data":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    if engine not in ("mirrored", "workers"):
        return None
    import tensorflow as tf

    if engine == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    cpu, *_ = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def replicas(model: keras.Model, strategy: Any) -> np.ndarray:
    """The variables as each device has them, a row for each."""
    if strategy is not None:
        import tensorflow as tf

        def flat() -> Any:
            return tf.concat([tf.reshape(v.value, [-1]) for v in model.trainable_variables], 0)

        gathered = strategy.gather(strategy.run(tf.function(flat)), axis=0)
        return gathered.numpy().reshape(strategy.num_replicas_in_sync, -1)
    shards = [v.value.addressable_shards for v in model.trainable_variables]
    own = zip(*shards, strict=True)
    return np.stack([np.concatenate([np.ravel(shard.data) for shard in each]) for each in own])


def two_workers(arguments: list[str], *, limit: float = 300) -> int:
    """Start this script twice on loopback, as a cluster would on two hosts."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in (first, second)]
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": hosts}, "task": task})
        environment = {**os.environ, "TF_CONFIG": cluster}
        workers.append(subprocess.Popen([sys.executable, __file__, *arguments], env=environment))
    try:
        return max(worker.wait(limit) for worker in workers)
    finally:  # one that waits for another, which has failed, would wait for ever
        for worker in workers:
            worker.kill()


def main(engine: str, save: Path | None = None) -> None:
    """Train, look at the replicas, fold; save both models."""
    model, strategy = trained(engine)
    each, plain = replicas(model, strategy), fold(model)
    images, _ = digits()
    outputs = [keras.ops.convert_to_numpy(m(images)) for m in (model, plain)]
    print(f"{len(each)} replicas, which differ by at most {abs(each - each[0]).max():.1e}")
    print(f"folding changes the output by at most {abs(outputs[0] - outputs[1]).max():.1e}")
    if save:
        task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"index": 0})
        folder = save / str(task["index"])  # each worker must save, the first one's is kept
        folder.mkdir(parents=True)
        model.save(folder / "trained.keras")
        plain.save(folder / "folded.keras")
        np.save(folder / "replicas.npy", each)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    if options.engine == "workers" and "TF_CONFIG" not in os.environ:
        sys.exit(two_workers(sys.argv[1:]))
    main(options.engine, options.save)
