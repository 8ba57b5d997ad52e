# make demo    real digits, plain against DO-Conv, in under 3 minutes (FRAMEWORK=keras or gluon too)
# make test    everything, in every environment; its exit status is the tests'
# make lint    ruff and mypy
# make mutate  put mistakes in; the tests must catch each
# make test-zoo  other people's networks, each with a row in build/zoo-*.csv
# make bench   every benchmark's short preset, in every framework
#
# ARGS goes to the command, as in: make demo ARGS="--seeds 3"
# Environments are made on first use, and again when pyproject.toml or their versions change.

PYTHON ?= python3.11
FRAMEWORK ?= torch
ARGS ?=

PACKAGES_torch = torch
PACKAGES_keras = keras tensorflow-cpu
PACKAGES_gluon = mxnet gluoncv

.PHONY: demo test test-oldest test-star test-modern test-zoo test-zoo-keras lint mutate bench clean

demo: .venv/.made-$(FRAMEWORK)
	.venv/bin/doconv demo --framework $(FRAMEWORK) $(ARGS)

# The two long ones side by side: each keeps to a core, for threads that wait for one another spin.
test: lint test-oldest
	OMP_NUM_THREADS=1 $(MAKE) --jobs=2 --output-sync=target test-star test-modern

# The core alone, on the oldest NumPy that it supports.
test-oldest: .venv-oldest/.made
	.venv-oldest/bin/python -m pytest tests/core/test_kernel.py tests/core/test_condconv.py \
	    tests/core/test_xsepconv.py $(ARGS)

# All three frameworks in one process, which needs NumPy 1.26: MXNet wants it below 2.
test-star: .venv-star/.made
	DOCONV_BACKENDS=torch,keras,gluon KERAS_BACKEND=tensorflow \
	    .venv-star/bin/python -m pytest --doctest-modules tests doconv_core doconv_torch $(ARGS)

# NumPy 2: PyTorch, and Keras on its JAX and PyTorch backends.
test-modern: .venv-modern/.made
	DOCONV_BACKENDS=torch,keras KERAS_BACKEND=jax .venv-modern/bin/python -m pytest $(ARGS)
	DOCONV_BACKENDS=torch,keras KERAS_BACKEND=torch .venv-modern/bin/python -m pytest \
	    tests/star/test_conv.py tests/star/test_random.py tests/star/test_condconv.py \
	    tests/star/test_xsepconv.py tests/star/test_transfer.py tests/keras_adapter $(ARGS)

# Put mistakes in, one by one: named tests must catch each.
mutate: .venv-star/.made
	.venv-star/bin/python -m tests.mutations.run

# Not part of `make test`: minutes for each network. ARGS="--all" takes every member of each family.
test-zoo: test-zoo-keras

test-zoo-keras: .venv-zoo-keras/.made
	mkdir -p build
	KERAS_BACKEND=tensorflow .venv-zoo-keras/bin/python -m tests.zoo.keras build/zoo-keras.csv $(ARGS)

lint: .venv-star/.made
	.venv-star/bin/ruff format --check .
	.venv-star/bin/ruff check .
	.venv-star/bin/mypy --strict doconv_core
	.venv-star/bin/mypy doconv_torch doconv_cli

bench: .venv-star/.made
	.venv-star/bin/python -m benchmarks --preset short

clean:
	rm -rf .venv .venv-oldest .venv-star .venv-modern .venv-zoo-keras

.venv/.made-%: pyproject.toml constraints/numpy1.txt
	test -d .venv || $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints/numpy1.txt --editable '.[demo]' $(PACKAGES_$*)
	touch $@

.venv-oldest/.made: pyproject.toml
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/pip install --quiet numpy==1.23.5 pytest pytest-timeout hypothesis
	touch $@

.venv-star/.made: pyproject.toml constraints/numpy1.txt
	$(PYTHON) -m venv --clear .venv-star
	.venv-star/bin/pip install --quiet --constraint constraints/numpy1.txt --editable '.[test]' \
	    $(PACKAGES_torch) $(PACKAGES_keras) $(PACKAGES_gluon) ruff mypy
	touch $@

.venv-modern/.made: pyproject.toml constraints/numpy2.txt
	$(PYTHON) -m venv --clear .venv-modern
	.venv-modern/bin/pip install --quiet --constraint constraints/numpy2.txt --editable '.[test]' \
	    torch keras jax
	touch $@

.venv-zoo-keras/.made: pyproject.toml constraints/numpy1.txt constraints/zoo-keras.txt
	$(PYTHON) -m venv --clear .venv-zoo-keras
	.venv-zoo-keras/bin/pip install --quiet --constraint constraints/numpy1.txt --editable . \
	    $(PACKAGES_keras)
	.venv-zoo-keras/bin/pip install --quiet --no-deps --requirement constraints/zoo-keras.txt
	touch $@
