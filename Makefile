# make test, make lab, make page, make bench, and
# make reproduce [PROFILE=smoke|quick|grid|beyond|ablation|unseen|paper|digits|coffee|full|fsc|path/to/profile.yaml]
# TORCH_INDEX=URL, at the first make: torch and torchaudio, and nothing else, from that package index (docs/install.md).
PYTHON ?= python3
PROFILE ?= quick
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
TEST_JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread per process: the grid fills the cores with processes. More threads of numpy and torch would slow them down.
export OMP_NUM_THREADS ?= 1
# Override the user's own Jupyter settings: no access from other machines, and no page without the token.
TOKEN := $(shell $(PYTHON) -c "import secrets; print(secrets.token_hex(24))")
export TOKEN

# Jupyter refuses to run as root, the usual user of a container, without this option.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: reproduce test lab page bench

reproduce: .venv/installed
	$(BIN)/snakemake --profile .config/snakemake/local --cores $(JOBS) --config "profile=$(PROFILE)"

test: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n $(TEST_JOBS)

lab: .venv/installed
	$(BIN)/python .config/serve.py jupyterlab --IdentityProvider.token --config .config/jupyter_server_config.py --notebook-dir . \
		--LabApp.default_url=/lab/tree/notebooks/06_audition.ipynb --ServerApp.ip=127.0.0.1 $(ROOT) $(LAB)

bench: .venv/installed
	$(BIN)/python -m benchmarks

page: .venv/installed
	@echo "The page: http://localhost:8866/?token=$$TOKEN"
	$(BIN)/python .config/serve.py voila --token notebooks/06_audition.ipynb --Voila.ip=127.0.0.1 $(LAB)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url "$(TORCH_INDEX)" torch torchaudio)
	$(PIP) -e .
	touch $@

.venv/tested: .venv/installed
	$(PIP) -e ".[dev]"
	touch $@
