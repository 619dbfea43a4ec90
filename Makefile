# make demo   the main job: a virtual environment, the library in it, and a grid search over this computer
# make test   all tests; as root on Debian with a real Slurm of three nodes, on two of its releases
# make test-thirdparty   libraries that were not written for hpcml
# make test-torch   torch, Lightning Fabric, accelerate and JAX; as root on Debian on a real Slurm of three nodes too
# make test-notebook   a notebook in JupyterLab, in headless Chromium (apt-get install chromium)
# make test-ipyparallel   ipyparallel's own tests, on engines that hpcml started
# make docs   the book, as HTML in build/docs; warnings are errors. make docs-links   its links to other sites
# make test-book   the book in headless Chromium
# make lint   ruff, mypy, shellcheck
# make bench  figures beside those of dask, ipyparallel and executorlib (needs root)
PYTHON ?= python3
BIN := .venv/bin
PIP := -m pip install --quiet --disable-pip-version-check
# By a path, not by a finder that each start of Python would import: tests start thousands.
EDITABLE := --config-settings editable_mode=compat --editable

BOOK := $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees

.PHONY: demo docs docs-links test test-book test-environment test-ipyparallel test-notebook test-thirdparty test-torch lint bench clean

demo: .venv/demo
	mkdir -p build/demo
	cd build/demo && ../../$(BIN)/hpcml run ../../tutorials/01_grid_search/solution/start.py

test: test-environment
	sh tests/all

lint: test-environment
	$(BIN)/ruff check .
	$(BIN)/mypy
	sh tests/shell-lint

docs: .venv/test
	$(BOOK) tutorials/book build/docs

docs-links: .venv/test
	$(BOOK) --builder linkcheck tutorials/book build/links

test-ipyparallel: test-environment
	$(BIN)/python tests/thirdparty/ipyparallel_tests.py

test-thirdparty: .venv-thirdparty/test
	.venv-thirdparty/bin/python -m pytest tests/thirdparty

test-torch: .venv-torch/test
	.venv-torch/bin/python -m pytest tests/thirdparty tests/slurm/test_torch_on_nodes.py \
		tests/pure/journal/test_call_keys_torch.py

test-notebook: .venv-browser/test
	.venv-browser/bin/python -m pytest tests/browser/test_jupyterlab_page.py

test-book: docs .venv-browser/test
	.venv-browser/bin/python -m pytest tests/browser/test_book_in_browser.py

bench: test-environment
	$(BIN)/python tests/benchmarks/run

test-environment: .venv/test
	sh tests/install-system

clean:
	rm -rf .venv .venv-* .hpcml build *.egg-info

.venv/demo: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) $(EDITABLE) '.[sklearn]'
	touch $@

# By number, as pip then takes the build of torch for CPUs where one is at hand.
.venv-torch/test: setup.cfg
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python $(PIP) torch==2.13.0
	.venv-torch/bin/python $(PIP) $(EDITABLE) '.[test,torch]' accelerate jax lightning-fabric
	touch $@

.venv-%/test: setup.cfg
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python $(PIP) $(EDITABLE) '.[test,$*]'
	touch $@

.venv/test: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) $(EDITABLE) '.[test,lint,docs]'
	touch $@
