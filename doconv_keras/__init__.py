"""What the adapters for Keras 3 and for the legacy ``tf_keras`` have in common; imports neither.

A function that computes takes the operations as its first argument: ``keras.ops``, or TensorFlow's
under the same names.
"""
