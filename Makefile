PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
PINNED := tests/test_packaging.py::test_constraints_pin_every_transitive_dependency

# The pip that comes with Python 3.11 needs half a minute more to find what to install. All of them would compile all
# modules one after another: a third of the time. On all cores, and without the packages' own tests, it is soon done.
# A file that cannot be compiled, such as a template, is no fault.
PIP := -m pip install -q --disable-pip-version-check -U pip
INSTALL := -m pip install -q --disable-pip-version-check --no-compile
COMPILE := -m compileall -qq -j 0 -x /tests/

# Where this is set, as in many images, each process of the tests would compile our own modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Two of these targets at once would install into one .venv.
.NOTPARALLEL:

.PHONY: setup demo test test-oldest lint docs

setup: .venv/.tests

# A stamp says what .venv holds, and makes `make` a matter of milliseconds until a dependency changes. While pip works
# there is none: an environment that was left half made has no stamp, and is made anew.
.venv/.trains: pyproject.toml constraints.txt
	$(call install,.)

.venv/.tests: pyproject.toml constraints.txt
	$(call install,'.[dev]')
	@touch .venv/.trains

demo: .venv/.trains
	$(BIN)/seq2seq train

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site: open docs/build/index.html. A warning is an error.
docs: setup
	$(BIN)/sphinx-build -q -W --keep-going docs docs/build

# As `make lint`, but types, which take one core a minute, are checked beside the tests.
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy >.venv/types 2>&1 & types=$$!; \
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types; types=$$?; cat .venv/types; exit $$((tests + types))

# The same tests with the lowest version of every package that pyproject.toml allows. What these packages need
# themselves is not what constraints.txt pins, so the test of that is left out.
test-oldest: .venv-oldest/.tests
	$(OLDEST)/pytest -n auto --dist loadfile --no-loadscope-reorder --deselect $(PINNED)

.venv-oldest/.tests: pyproject.toml scripts/oldest.py
	$(check)
	$(PYTHON) -m venv --clear .venv-oldest
	$(OLDEST)/python $(PIP)
	$(OLDEST)/python scripts/oldest.py > .venv-oldest/constraints.txt
	$(OLDEST)/python $(INSTALL) -c .venv-oldest/constraints.txt -e '.[dev]'
	@$(OLDEST)/python $(COMPILE) .venv-oldest/lib || true
	@touch $@

define install
$(check)
@echo "installing into .venv, once: minutes"
@test -e .venv/.trains || $(PYTHON) -m venv --clear .venv
@rm -f .venv/.trains .venv/.tests
$(BIN)/python $(PIP) -c constraints.txt
$(BIN)/python $(INSTALL) -c constraints.txt -e $(1)
@$(BIN)/python $(COMPILE) .venv/lib || true
@touch $@
endef

define check
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "error: $(PYTHON) is no Python 3.11 or newer; name one that is: make PYTHON=python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "error: $(PYTHON) cannot make environments; install python3-venv (Debian, Ubuntu) or another Python" >&2; exit 1; }
endef
