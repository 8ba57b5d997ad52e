"""What is measured of tf_keras, beside Keras 3."""
