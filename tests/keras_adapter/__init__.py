import os

if os.environ.get("KERAS_BACKEND") == "jax":
    # These tests compile thousands of small functions, each to be run once or twice: without
    # XLA's optimizations they take half of the time.
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
