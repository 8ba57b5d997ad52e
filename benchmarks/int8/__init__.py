"""Accuracy after int8 quantization: `python -m benchmarks.int8`."""
