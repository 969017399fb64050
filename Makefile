.PHONY: check format test

check: ## what .ci/run checks, in the present environment
	ruff format --check .
	ruff check .
	mypy
	pytest

format:
	ruff format .
	ruff check --fix .

test:
	pytest
