# The front door: `make demo` and `make test`. Everything else is a part of one of them, or runs on demand.
PY := .venv/bin/python
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: demo test lint types imports pytest setup-test benchmarks clean

demo:
	@scripts/setup demo
	@$(PY) -m muki demo

test: setup-test lint types imports pytest

setup-test:
	@scripts/setup test

lint:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types:
	$(PY) -m mypy

imports:
	.venv/bin/lint-imports --no-cache

pytest:
	@scripts/run-tests

benchmarks:
	$(PY) -m benchmarks.edge_cost
	$(PY) -m benchmarks.latency
	$(PY) -m benchmarks.modbus_bus
	$(PY) -m benchmarks.horn_latency
	$(PY) -m benchmarks.store_write

clean:
	rm -rf .venv .demo .mypy_cache .pytest_cache .ruff_cache
