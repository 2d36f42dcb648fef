VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DEMO := $(VENV)/.ready-demo
DEV := $(VENV)/.ready-dev

.PHONY: demo test lint stub docs measured clean

demo: $(DEMO)
	$(BIN)/astrogate demo -o demo

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(DEV)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/lint-imports

# Type checkers read the public names here. Run it when the table in __init__.py has changed.
stub: $(DEMO)
	$(BIN)/python -m astrogate.app.stub > src/astrogate/.stub.part
	mv src/astrogate/.stub.part src/astrogate/__init__.pyi

docs: $(DEV) stub
	$(BIN)/python -m astrogate.app.cli.reference docs
	$(BIN)/astrogate card -o docs/menagerie.md

# The pages that take hours to measure.
measured: $(DEV)
	$(BIN)/astrogate bench leakage -o docs/leakage.md
	$(BIN)/astrogate bench windows -o docs/windows.md
	$(BIN)/astrogate bench unclip -o docs/unclip.md
	$(BIN)/astrogate bench concepts -o docs/planted.md
	$(BIN)/astrogate sweep benchmarks/sweeps/interpolation.toml -o runs/sweep --page docs/interpolation.md

# The library alone, which is all that the demo needs.
$(DEMO): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $(DEMO)

# With every extra, and what tests and checks. Of clip-anytorch tests read CLIP's merges alone, so it comes by itself.
$(DEV): $(DEMO)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps clip-anytorch==2.6.0
	touch $(DEV)

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .import_linter_cache
