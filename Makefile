# make serve   draw pictures on http://127.0.0.1:3000      make train-env   what training needs, in .venv-train
# make test    run the tests                               make lint        style and types
PYTHON ?= python3
PORT ?= 3000
# Serving, training and development have separate environments: a server needs no torch, training none of the tests' tools.
SERVING := .venv
TRAINING := .venv-train
DEVELOPMENT := .venv-dev
INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: serve test docs bench load chaos soak fuzz audit lint train-env lock pin sbom clean
.DEFAULT_GOAL := serve

serve: $(SERVING)/installed
	@$(SERVING)/bin/python -m service --port $(PORT)

# Two processes, each with whole files of tests, as these share servers; ARGS='-n 0 -k resume' runs a few in one.
# With bytecode, also where it is turned off: else 60 servers, and both processes, compile what they import.
test: $(DEVELOPMENT)/installed
	PYTHONDONTWRITEBYTECODE= $(DEVELOPMENT)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

# The README and docs/ as a site that loads nothing from other hosts: open site/index.html
docs: $(DEVELOPMENT)/installed
	NO_MKDOCS_2_WARNING=1 $(DEVELOPMENT)/bin/python -m mkdocs build --strict

# The service's speed compared with the generator alone, 13 minutes; ARGS='--size 64 --turns 1' for less
bench: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m benchmarks.serving $(ARGS)

# A server with 8 to 128 simulated users, and a report; ARGS='--shape spike' for another shape
load: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m load_tests $(ARGS)

# Ten minutes of random faults: killed workers, exhausted cores and connections; ARGS='--minutes 1' for less
chaos: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m load_tests.chaos $(ARGS)

# Twenty minutes at 70% of the server's capacity, in which its resources must not grow
soak: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m load_tests.soak $(ARGS)

# A million bad inputs to the parsers, 100,000 to a server, odd models; ARGS='--parsers 10000 --wire 1000' for fewer
fuzz: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m tests.fuzz $(ARGS)

# Known vulnerabilities of dependencies, insecure code and leaked secrets
audit: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m tests.audit

lint: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/ruff check .
	$(DEVELOPMENT)/bin/ruff format --check .
	$(DEVELOPMENT)/bin/mypy

# The environment to train, evaluate, export and serve in: source .venv-train/bin/activate; nelumbo train …
train-env: $(TRAINING)/installed

# Lock files of the container images, with hashes; ARGS=--upgrade updates what constraints.txt does not pin.
LOCK = $(DEVELOPMENT)/bin/pip-compile --quiet --generate-hashes --strip-extras --no-emit-find-links --no-emit-index-url \
	--no-header --constraint constraints.txt $(ARGS)
SERVED = --extra c2pa --extra redis --extra remote --extra traces pyproject.toml
lock: $(DEVELOPMENT)/installed
	$(LOCK) --output-file deploy/container/cpu.txt $(SERVED)
	$(LOCK) --output-file deploy/container/openvino.txt --extra openvino $(SERVED)
	$(LOCK) --output-file deploy/container/cuda.txt --no-allow-unsafe --unsafe-package onnxruntime \
		$(SERVED) deploy/container/cuda.in
	$(LOCK) --output-file deploy/container/build.txt --allow-unsafe deploy/container/build.in

# Pin the current digests of the images' tags in the Dockerfile and the overlays; ARGS=--check only compares
pin: $(DEVELOPMENT)/installed
	$(DEVELOPMENT)/bin/python -m deploy.digests $(ARGS)

# The wheel, an SBOM for each container image and SHA256SUMS of the checked-out commit, into dist/
sbom: $(DEVELOPMENT)/installed
	rm -rf dist
	$(DEVELOPMENT)/bin/python -m deploy.release

$(SERVING)/installed: pyproject.toml constraints.txt
	$(call environment,$(SERVING))
	@echo "Installing what serving needs into $(SERVING); the first time takes a minute or two."
	@$(SERVING)/bin/python $(INSTALL) --editable .
	@touch $@

$(TRAINING)/installed: pyproject.toml constraints.txt
	$(call environment,$(TRAINING))
	@echo "Installing what training needs into $(TRAINING); the first time takes some minutes."
	@$(TRAINING)/bin/python $(INSTALL) --editable '.[train]'
	@touch $@

$(DEVELOPMENT)/installed: pyproject.toml constraints.txt
	$(call environment,$(DEVELOPMENT))
	@echo "Installing what training and the tests need into $(DEVELOPMENT); the first time takes some minutes."
	@$(DEVELOPMENT)/bin/python $(INSTALL) --editable '.[dev]'
	@touch $@

define environment
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Nelumbo runs on Python 3.11 to 3.13; say which with PYTHON=, such as make PYTHON=python3.11"; exit 2; }
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

clean:
	rm -rf $(SERVING) $(TRAINING) $(DEVELOPMENT) build dist site *.egg-info
