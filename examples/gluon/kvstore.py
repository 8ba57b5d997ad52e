"""A converted network on several hosts, by MXNet's kvstore "dist_sync", trained and folded.

    python examples/gluon/kvstore.py [--save FOLDER]

On a cluster MXNet's own ``tools/launch.py`` starts this script on each host, once as the scheduler,
as a server and as a worker, and tells it by DMLC_ROLE and its sisters which it is. Where there is
no DMLC_ROLE, one scheduler, one server and two workers are started on this host.

Two lines are DO-Conv's. The network is converted before the Trainer is made, with the same start
for every worker, so that D is among the arrays on the servers from the first step. It is folded as
a copy: in place, the kernels would have to be written to the servers, which MXNet cannot do, so
that ``fold(net, inplace=True)`` is refused.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

# A scheduler or a server serves from here on, and ends within this import.
from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx

nn = mx.gluon.nn
BATCH = 128
"""Images in a step, over all workers."""


def digits() -> tuple[Any, Any]:
    """1,024 images of 8 x 8, in [0, 1], and what they show."""
    images, labels = load_digits(return_X_y=True)
    images = images[:1024].reshape(-1, 1, 8, 8).astype(np.float32) / 16
    return mx.nd.array(images), mx.nd.array(labels[:1024])


def built() -> Any:
    """A small converted network; the same wherever it is built."""
    mx.random.seed(0)
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(16, 3, padding=1, in_channels=1, activation="relu"),
            nn.Conv2D(16, 3, padding=1, groups=16, in_channels=16, activation="relu"),
            nn.Conv2D(16, 3, strides=2, groups=2, in_channels=16, activation="relu"),
            nn.GlobalAvgPool2D(),
            nn.Dense(10, in_units=16),
        )
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return convert(net, inplace=True)


def trained(kvstore: Any = None, *, epochs: int = 2) -> tuple[Any, Any]:
    """A network and its Trainer, after each worker has given its share of every batch."""
    net, loss = built(), mx.gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = mx.gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9}, kvstore=kvstore
    )
    images, labels = digits()
    rank, workers = (0, 1) if kvstore is None else (kvstore.rank, kvstore.num_workers)
    for first in range(0, len(images) * epochs, BATCH):
        batch = np.arange(first, first + BATCH) % len(images)
        share = mx.nd.array(np.split(batch, workers)[rank])
        with mx.autograd.record():
            value = loss(net(images.take(share)), labels.take(share))
        value.backward()
        trainer.step(BATCH)  # the servers add the workers' gradients up
    return net, trainer


def start(arguments: list[str], *, limit: float = 200) -> int:
    """One scheduler, one server and two workers on loopback, as ``tools/launch.py`` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NODE_HOST": "127.0.0.1",
        "DMLC_NUM_SERVER": "1",
        "DMLC_NUM_WORKER": "2",
    }
    command = [sys.executable, __file__, *arguments]
    processes = [
        subprocess.Popen(command, env={**environment, "DMLC_ROLE": role})
        for role in ("scheduler", "server", "worker", "worker")
    ]
    try:
        return max(process.wait(limit) for process in processes)
    finally:  # those that wait for one that has failed would wait for ever
        for process in processes:
            process.kill()


def main(save: Path | None = None) -> None:
    """A worker: train, fold; save both networks."""
    kvstore = mx.kv.create("dist_sync")
    net, _ = trained(kvstore)
    images, _ = digits()
    plain = fold(net)
    try:
        fold(net, inplace=True)
    except ValueError as error:
        print(f"worker {kvstore.rank}: {error}")
    difference = abs(plain(images) - net(images)).max().asscalar()
    print(f"worker {kvstore.rank}: folding changes the output by at most {difference:.1e}")
    if save:
        folder = save / str(kvstore.rank)
        folder.mkdir(parents=True)
        net.save_parameters(str(folder / "trained.params"))
        plain.save_parameters(str(folder / "folded.params"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path)
    if "DMLC_ROLE" not in os.environ:
        sys.exit(start(sys.argv[1:]))
    main(parser.parse_args().save)
