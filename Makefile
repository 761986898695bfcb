# make demo and make test do everything on a machine that has Python 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test lint clean

install: $(INSTALLED)

# torch first: whatever pulls it in otherwise fetches another build of several gigabytes.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[extract,dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python train.py fit --trainer.default_root_dir runs/demo
	$(BIN)/python train.py test --trainer.default_root_dir runs/demo
	$(BIN)/python train.py export --trainer.default_root_dir runs/demo --output_dir checkpoints/demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

clean:
	rm -rf .venv runs checkpoints/demo
