"""Networks of tf_keras layers, the same as those of ``with_keras``."""

from __future__ import annotations

import tf_keras

from benchmarks.subjects.of_keras import networks

NETWORKS = networks(tf_keras)
"""The whole networks that are measured."""
