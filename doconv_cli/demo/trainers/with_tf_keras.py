"""The demo in the legacy tf_keras."""

from __future__ import annotations

import tf_keras

import doconv_tf_keras
from doconv_cli.demo.trainers.keras_trainer import KerasTrainer


class DemoTrainer(KerasTrainer):
    keras, adapter = tf_keras, doconv_tf_keras
