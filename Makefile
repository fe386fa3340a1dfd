# Everything that a change must pass; `make check` is what .ci/run and the README call. When to use which: CONTRIBUTING.md.
PYTHON ?= .venv/bin/python

.PHONY: docs check lint types test test-fast random coverage format

check: lint types coverage

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

TYPES = build/types/hexit
types:  # mypy looks for a package where its name says, so the folders are linked there
	@mkdir -p $(TYPES) && ln -sfn $(CURDIR)/quant $(CURDIR)/hw_model $(CURDIR)/hls $(CURDIR)/sim $(CURDIR)/hexit/* $(TYPES)
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n auto

test-fast:  # without the tests that are marked slow, and a fifth of the examples of property tests
	HEXIT_PROPERTIES=few $(PYTHON) -m pytest -n auto -m "not slow"

random:  # property tests with new examples and ten times as many; everywhere else they have the same ones every time
	HEXIT_PROPERTIES=random $(PYTHON) -m pytest -n auto -m hypothesis

coverage:  # a bound, so that untested code in the models fails here
	$(PYTHON) -m pytest -n auto --cov=quant --cov=hw_model --cov=sim --cov=hls --cov-report=term-missing:skip-covered --cov-fail-under=97

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

docs:  # pages of options and of design keys, from their records
	$(PYTHON) -c "from hexit.hw_model.design_keys import with_key_tables as make; from pathlib import Path; page = Path('docs/design_file.md'); page.write_text(make(page.read_text()))"
	$(PYTHON) -c "from hexit.sim.job.job_file import write_reference_page; write_reference_page('docs/job.md')"
