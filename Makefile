# make demo    real digits, plain against DO-Conv, in under 3 minutes (FRAMEWORK=keras, tf_keras or gluon too)
# make test    everything, in every environment; its exit status is the tests'
# make check   linters, the core and PyTorch's star: what to run between two commits
# make lint    ruff and mypy
# make mutate  put mistakes in; the tests must catch each
# make test-zoo  every backbone of TensorFlow's Model Garden (about half an hour; a report in build/zoo)
# make bench   every benchmark's short preset, in every framework
#
# ARGS goes to the command, as in: make demo ARGS="--seeds 3"
# Environments are made on first use, and again when pyproject.toml or their versions change.

PYTHON ?= python3.11
ENVIRONMENT = PYTHON='$(PYTHON)' sh constraints/environment.sh
FRAMEWORK ?= torch
ARGS ?=

PACKAGES_torch = torch
PACKAGES_keras = keras tensorflow-cpu
PACKAGES_tf_keras = tf_keras tensorflow-cpu
PACKAGES_gluon = mxnet gluoncv

.PHONY: demo test test-star test-oldest test-jax test-keras-on-torch test-zoo check lint mutate bench clean

demo: .venv/.made-$(FRAMEWORK)
	.venv/bin/doconv demo --framework $(FRAMEWORK) $(ARGS)

# Every environment, two runs side by side, with progress and one table at the end.
test: lint .venv-oldest/.made .venv-modern/.made
	.venv-star/bin/python tests/environments.py -- $(ARGS)

# One of its runs: star (all four frameworks), oldest (NumPy), jax, keras-on-torch.
test-star: .venv-star/.made
test-oldest: .venv-oldest/.made
test-jax test-keras-on-torch: .venv-modern/.made
test-star test-oldest test-jax test-keras-on-torch:
	$(firstword $(subst /, ,$<))/bin/python tests/environments.py $(@:test-%=%) -- $(ARGS)

# Model Garden's networks and trainer, in an environment with tf-models-official.
test-zoo: .venv-tf-models/.made
	.venv-tf-models/bin/python -m pytest tests/zoo
	.venv-tf-models/bin/python -m tests.zoo.tf_models $(ARGS)

# Between two commits: linters, the core, the house, and one framework's star.
check: lint
	.venv-star/bin/python tests/environments.py check -- $(ARGS)

# Put mistakes in, one by one: named tests must catch each.
mutate: .venv-star/.made
	.venv-star/bin/python -m tests.mutations.run

lint: .venv-star/.made
	.venv-star/bin/ruff format --check .
	.venv-star/bin/ruff check .
	.venv-star/bin/mypy --strict doconv_core
	.venv-star/bin/mypy doconv_torch doconv_cli

bench: .venv-star/.made
	.venv-star/bin/python -m benchmarks --preset short

clean:
	rm -rf .venv .venv-oldest .venv-star .venv-modern .venv-tf-models build

.venv/.made-%: pyproject.toml constraints/numpy1.txt
	$(ENVIRONMENT) .venv .made-$* --constraint constraints/numpy1.txt --editable '.[demo]' $(PACKAGES_$*)

.venv-oldest/.made: pyproject.toml
	$(ENVIRONMENT) .venv-oldest .made numpy==1.23.5 pytest pytest-timeout hypothesis

.venv-star/.made: pyproject.toml constraints/numpy1.txt
	$(ENVIRONMENT) .venv-star .made --constraint constraints/numpy1.txt --editable '.[test]' \
	    $(PACKAGES_torch) $(PACKAGES_keras) $(PACKAGES_tf_keras) $(PACKAGES_gluon) ruff mypy

.venv-modern/.made: pyproject.toml constraints/numpy2.txt
	$(ENVIRONMENT) .venv-modern .made --constraint constraints/numpy2.txt --editable '.[test]' \
	    torch keras jax

.venv-tf-models/.made: pyproject.toml constraints/numpy1.txt constraints/tf_models.txt
	$(ENVIRONMENT) .venv-tf-models .made-base --constraint constraints/numpy1.txt \
	    --editable '.[test]' keras $(PACKAGES_tf_keras) opencv-python pandas PyYAML
	$(ENVIRONMENT) .venv-tf-models .made --no-deps --requirement constraints/tf_models.txt
