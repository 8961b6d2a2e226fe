# Every target does its own set-up in a fresh clone: `make demo` or `make test` is all there is to type.
PY ?= python3
VENV ?= .venv
EXTRAS ?= dev
JOBS ?= 2
# Which versions are installed: those mfnet is developed with, or constraints-oldest.txt.
CONSTRAINTS ?= constraints.txt
# A package index with CPU builds of torch, for machines without a GPU: make demo TORCH_INDEX=<the CPU index named on PyTorch's install page>
TORCH_INDEX ?=

WARNING := . Without a GPU: where the package index has torch for GPUs only it takes 5.6 GB; stop with Ctrl-C, name a CPU index: make TORCH_INDEX=...

# One thread per process: the networks are small, and threads that wait for each other cost several times what they give.
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(EXTRAS)
# The stamp holds the place it was made for: a checkout that was moved or copied, or lost its Python, is set up anew.
HOME_OF_VENV := $(abspath $(VENV))
STALE := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$(HOME_OF_VENV)" ] && $(BIN)/python -c '' 2>/dev/null || echo FORCE)
PIP_INSTALL = -m pip install -q -c $(CONSTRAINTS) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# The third-party libraries live in an environment of their own: Ray holds gymnasium at an older release.
INTEROP := .venv-interop
OLDEST := .venv-oldest
DOCS := .venv-docs
# The default tests that speak to a library or to gymnasium itself, run once more beside the older gymnasium.
BOTH_LINES := tests/test_views_conformance.py tests/test_views_vector.py tests/test_masked.py tests/test_sb3.py tests/test_torchrl.py

.PHONY: FORCE help setup demo verify test test-slow test-interop interop-tests test-benchmarl mutants lint format bench check-numbers tables wheel release-check clean fuzz test-plain test-oldest test-browser docs docs-site notebooks

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## create the virtual environment and install everything into it

demo: $(READY)  ## learn a taxi policy for Manhattan and write a report (about 3 minutes on 2 cores, once installed)
	$(BIN)/mfnet demo

test: $(READY)  ## run the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

test-slow: $(READY)  ## run the long tests: many training seeds, many worlds
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m slow --timeout 7200

test-plain: $(READY)  ## run the tests without the processor's newer instructions, nearly as on another machine
	env $$($(BIN)/python scripts/plain_cpu.py) $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(TESTS)

test-oldest:  ## run the tests with the oldest versions that setup.cfg allows (its own virtual environment)
	@$(MAKE) --no-print-directory test VENV=$(OLDEST) CONSTRAINTS=constraints-oldest.txt

test-browser: $(READY)  ## let a browser run the pages' scripts (needs chromium)
	$(BIN)/python -m pytest -m browser tests

test-interop:  ## let every third-party library train on the environments (its own virtual environment, 2.6 GB)
	@$(MAKE) --no-print-directory interop-tests VENV=$(INTEROP) EXTRAS=all

interop-tests: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/interop mfnet_envs/adapters/open_spiel.py $(BOTH_LINES)
	$(BIN)/python scripts/build_interop.py --check

test-benchmarl:  ## let BenchMARL train on the environments (its own virtual environment, 1.3 GB; not part of .ci/run)
	$(PY) -m venv .venv-benchmarl
	.venv-benchmarl/bin/python -m pip install -q -c constraints-benchmarl.txt -e . benchmarl pytest pytest-timeout hypothesis
	.venv-benchmarl/bin/python -m pytest tests/optional tests/test_torchrl.py

docs:  ## build the documentation site into site/, strictly and offline (its own virtual environment)
	@$(MAKE) --no-print-directory docs-site VENV=$(DOCS) EXTRAS=docs

docs-site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: $(READY)  ## execute every tutorial as a notebook
	$(BIN)/python scripts/tutorials.py --notebooks

verify: $(READY)  ## hold the paper's statements against exact games, in under two minutes; report in runs/verify
	$(BIN)/mfnet verify --quick

MINUTES ?= 20
KILLS ?= 1000
SEED ?= 0
fuzz: $(READY)  ## try inputs that nobody meant: MINUTES=20 of cases after KILLS=1000 kills, SEED=0; what fails is in fuzz-failures
	$(BIN)/python -m fuzz --minutes $(MINUTES) --kills $(KILLS) --seed $(SEED) --jobs $(JOBS)

mutants: $(READY)  ## break the code on purpose; a test must notice (under 5 minutes on 2 cores)
	$(BIN)/python scripts/mutation_check.py --jobs $(JOBS)

lint: $(READY)  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)  ## put the code into the house's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)  ## measure speed, as ratios within one process
	$(BIN)/python benchmarks/core.py
	$(BIN)/python benchmarks/exact.py

check-numbers: $(READY)  ## hold the numbers of README and docs against what the commands print (minutes; SLOW=1: hours)
	$(BIN)/python scripts/check_numbers.py $(if $(SLOW),--slow)

tables: $(READY)  ## print the tables of returns in docs/results.md (about an hour and a half)
	$(BIN)/python benchmarks/learning.py manhattan --seeds 3
	$(BIN)/python benchmarks/everywhere.py
	$(BIN)/python benchmarks/learning.py radii modes --seeds 2
	$(BIN)/python benchmarks/heuristics.py

# The extras are left out on purpose: whoever installs only the environments gets no torch, and all of `mfnet env` must work there.
wheel: $(READY)  ## build the wheel and try it alone in a bare environment
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	echo "building the source distribution and, from it, the wheel"; \
	$(BIN)/python -m build --outdir "$$dir/dist" . >"$$dir/log" 2>&1 || { cat "$$dir/log"; exit 1; }; \
	$(PY) -m venv "$$dir/venv"; \
	"$$dir"/venv/bin/python $(PIP_INSTALL) "$$dir"/dist/*.whl; \
	cp tests/bare_install.py "$$dir"; cd "$$dir"; \
	venv/bin/python bare_install.py

release-check: $(READY)  ## build what is published into dist/, and look at it with twine and check-wheel-contents
	rm -rf dist build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

clean:  ## remove builds, caches and the virtual environment (never runs/)
	rm -rf $(VENV) $(INTEROP) $(OLDEST) $(DOCS) .venv-benchmarl build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find mfnet_envs mfnet_agents tests examples benchmarks scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The stamp is written last, so an interrupted installation is taken up again.
$(READY): pyproject.toml setup.cfg $(CONSTRAINTS) $(STALE)
	@command -v $(PY) >/dev/null || { echo "mfnet: '$(PY)' is not installed; install Python 3.11 or newer, or name one: make PY=python3.12 ..." >&2; exit 1; }
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mfnet: '$(PY)' is $$($(PY) -V); mfnet needs Python 3.11 or newer, name one: make PY=python3.12 ..." >&2; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || { echo "mfnet: '$(PY)' has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@made_for=$$(cat $(VENV)/.ready-* 2>/dev/null | head -n 1); [ "$${made_for:-$(HOME_OF_VENV)}" = "$(HOME_OF_VENV)" ] || rm -rf $(VENV)
	@rm -f $(VENV)/.ready-*
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && $(PY) -m venv $(VENV); } || { rm -rf $(VENV); echo "mfnet: could not create $(VENV) (message above)" >&2; exit 1; }
	@echo "mfnet: installing mfnet[$(EXTRAS)] into $(VENV) (once; 1.2 to 2.6 GB, most of it torch)$(if $(strip $(TORCH_INDEX)),,$(WARNING))"
	@$(BIN)/python $(PIP_INSTALL) -e ".[$(EXTRAS)]" || { echo "mfnet: the installation failed (message above); is the package index reachable? Run the same command again to take it up." >&2; exit 1; }
	@echo $(HOME_OF_VENV) > $@
