"""Networks of Keras layers."""

from __future__ import annotations

import logging
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no word about the processor's features
import keras

from benchmarks.subjects.of_keras import networks

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many graphs
if keras.backend.backend() != "tensorflow":
    raise ImportError("the benchmarks of Keras are written for its TensorFlow backend")

NETWORKS = networks(keras)
"""The whole networks that are measured."""
