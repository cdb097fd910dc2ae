# make setup | check | fix | docs | site | tutorials | bench NAME=overhead | version NEW=0.2.0 | package

.PHONY: help setup check fix docs site tutorials bench version package

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup:  ## install the package and what its tests need, into the active environment
	python -m pip install -e ".[test]"

check:  ## everything that CI runs: tests, lint, format, types
	python -m pytest -n 2

fix:  ## lint and format what can be changed by itself
	ruff check --fix .
	ruff format .
	@if [ -d tools/javascript/node_modules ]; then npm --prefix tools/javascript run format; fi

docs:  ## run the code of the pages, of the how-tos and of the docstrings
	python -m pytest -q tests/test_docs.py tests/test_docstrings.py tests/test_development.py

site:  ## build the documentation site into build/site; wants pip install -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

tutorials:  ## run the notebooks of docs/tutorials, and keep what they print and draw
	python -m benchmarks.tutorials

bench:  ## run one benchmark: make bench NAME=overhead
	python -m benchmarks.$(NAME)

version:  ## set the version everywhere it stands, and date the head of the changelog: make version NEW=0.2.0
	bump-my-version bump --new-version $(NEW)

package:  ## build the source distribution and the wheel, and check both
	.ci/package dist
