# make demo and make test do everything on a machine that has Python 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
TOOLS := .venv/.tools

.PHONY: install demo test lint clean

install: $(INSTALLED)

# torch first: whatever pulls it in otherwise fetches another build of several gigabytes.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[extract,dev]'
	touch $@

# Chromium opens the reports and espeak-ng speaks for TTS systems in some tests. As root on Debian they are installed;
# elsewhere, or without a network, these tests skip and say what they lack.
$(TOOLS): $(INSTALLED)
	@command -v chromium >/dev/null && command -v espeak-ng >/dev/null || test "$$(id -u)" != 0 || \
	! command -v apt-get >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	--no-install-recommends chromium fonts-noto-color-emoji espeak-ng >/dev/null; } || echo "no chromium or espeak-ng"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python train.py fit --trainer.default_root_dir runs/demo
	$(BIN)/python train.py test --trainer.default_root_dir runs/demo
	$(BIN)/python train.py export --trainer.default_root_dir runs/demo --output_dir checkpoints/demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint $(TOOLS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

clean:
	rm -rf .venv runs checkpoints/demo
