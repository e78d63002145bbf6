# Everything that builds, checks and runs the project. `make help` lists it; CI calls the same targets.
#
# Nothing outside this folder is touched. Environments live in .venv (the newest Python found, with all tools) and
# .venv-X.Y (the oldest, for its tests); what was found and built is remembered, so a second run starts at once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

PYTHON := .venv/bin/python
# The contract suite: CONTRACT_HARNESS names its program; else one of this version on the PATH; else Go installs it.
HARNESS_VERSION := 2.41.0
# Without arguments it says its version, then fails for want of some.
HARNESS_ON_PATH := $(shell said=$$(sdk-test-harness 2>/dev/null </dev/null || true); \
  case "$$said" in ('sdk-test-harness v$(HARNESS_VERSION)'*) command -v sdk-test-harness;; esac)
CONTRACT_HARNESS ?= $(or $(HARNESS_ON_PATH),.cache/harness-$(HARNESS_VERSION)/sdk-test-harness)

# Test processes at a time.
WORKERS ?= 2
FOUND := .cache/make/interpreters.mk

# $(call timed,target): makes the target and says how long it took, also when it fails.
define timed
+@begin=$$(date +%s); status=0; $(MAKE) --no-print-directory $(1) || status=$$?; \
  took=$$(($$(date +%s) - begin)); \
  if [ $$status -eq 0 ]; then verdict=done; else verdict=FAILED; fi; \
  printf 'make %s: %s in %d min %02d s\n' $@ $$verdict $$((took / 60)) $$((took % 60)); exit $$status
endef
say = printf '\n--- %s\n'

.PHONY: help demo test test-doors test-hosts promises lint bench bench-instructions differential differential-long contract contract-harness contract-long build clean
help: ## list the targets
	@printf 'make <target>, where <target> is\n'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## build everything and run examples/demo.py
	$(call timed,_demo)

test: ## Rust tests, Python tests on the oldest and the newest Python found, stub and typing checks
	$(call timed,_test)

lint: ## formatting, clippy, rustdoc, ruff, mypy, and cargo-deny where it is installed
	$(call timed,_lint)

bench: ## compare with launchdarkly-server-sdk 9.20: CPU for each call, until events are delivered
	$(call timed,_bench)

differential: ## the same answers and events as launchdarkly-server-sdk 9.20 and LaunchDarkly's Rust engine, on random data
	$(call timed,_differential)

differential-long: ## a million evaluations against 9.20; SEED= and EVALUATIONS= say otherwise
	$(call timed,_differential-long)

bench-instructions: ## count instructions with valgrind and compare them with the record
	$(call timed,_bench-instructions)

contract: ## the field's contract suite against the wheel, with Redis, DynamoDB and Consul beside it (needs Go)
	$(call timed,_contract)

contract-harness: $(CONTRACT_HARNESS) ## install the program that the contract suite is

test-doors: ## Flask, Django, FastAPI, WSGI and tests; the examples under gunicorn, uWSGI and uvicorn. Part of `test`
	$(call timed,_test-doors)

test-hosts: ## real uWSGI, gunicorn, gevent, Celery, multiprocessing and Apache with mod_wsgi, each with the wheel in it
	$(call timed,_test-hosts)

promises: ## the table of promises, measured for this package and for launchdarkly-server-sdk 9.20
	$(call timed,_promises)

contract-long: ## the suite's tests that wait for minutes
	$(call timed,_contract-long)

build: ## build the wheel into dist/ and install it into .venv
	$(call timed,_build)

clean: ## remove whatever these targets made
	@begin=$$(date +%s); rm -rf target dist .venv .venv-* .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache; \
	  printf 'make clean: done in 0 min %02d s\n' $$(($$(date +%s) - begin))

# ------------------------------------------------------------------------------------------------ interpreters

# `help` and `clean` need no Python; everything else begins by finding some.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
include $(FOUND)
# A Python that has gone away since is looked for anew, once.
ifeq ($(MAKE_RESTARTS),)
ifneq ($(strip $(foreach version,$(OLDEST) $(NEWEST),$(if $(wildcard $(PYTHON_$(version))),,gone))),)
$(shell rm -f $(FOUND))
endif
endif
endif

$(FOUND): .ci/interpreters
	@cargo --version >/dev/null 2>&1 || { \
	  echo 'No working cargo was found. Install Rust 1.88 or newer with rustup (https://rustup.rs), then open a new shell.' >&2; exit 1; }
	@command -v cc >/dev/null || { \
	  echo 'No C compiler (cc) was found. On Debian or Ubuntu: apt-get install build-essential' >&2; exit 1; }
	@mkdir -p $(@D)
	@.ci/interpreters >$@.new || { \
	  echo 'No Python 3.10 to 3.14 that can make virtual environments was found.' >&2; \
	  echo 'On Debian or Ubuntu: apt-get install python3 python3-venv; elsewhere: pyenv install 3.13' >&2; exit 1; }
	@{ sed 's/^\([^ ]*\) \(.*\)/PYTHON_\1 := \2/' $@.new; \
	  printf 'OLDEST := %s\n' "$$(head -n 1 $@.new | cut -d' ' -f1)"; \
	  printf 'NEWEST := %s\n' "$$(tail -n 1 $@.new | cut -d' ' -f1)"; } >$@.part
	@printf 'Python: %s\n' "$$(cut -d' ' -f1 $@.new | tr '\n' ' ')"
	@rm $@.new; mv $@.part $@

# ------------------------------------------------------------------------------------------------ environments

# What a wheel is made of. The list is kept in a file that changes when a source comes or goes.
SOURCES := $(shell find src python -type f -not -path '*/__pycache__/*' -not -name '*.so' | LC_ALL=C sort) \
  Cargo.toml Cargo.lock pyproject.toml README.md LICENSE
SOURCE_LIST := .cache/make/sources
ifneq ($(file <$(SOURCE_LIST)),$(SOURCES))
$(shell mkdir -p $(dir $(SOURCE_LIST)))
$(file >$(SOURCE_LIST),$(SOURCES))
endif

# $(call environment,folder,version,groups): an environment with tools, and the wheel installed.
define environment
$(1)/.tools: pyproject.toml $(FOUND)
	@$$(say) 'Python $(2): tools into $(1)'
	@$(1)/bin/python -c 'import pip, sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(2)")' 2>/dev/null \
	  || '$$(PYTHON_$(2))' -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(1)/bin/python -m pip install --quiet $(foreach group,$(3),--group $(group))
	@touch $$@

$(1)/.wheel: $(1)/.tools dist/.wheel
	@$$(say) 'Python $(2): installing the wheel'
	@$(1)/bin/python -m pip install --quiet --no-deps --force-reinstall dist/*.whl
	@touch $$@
endef
# One wheel serves every version: it is built for the stable interface of Python 3.10.
dist/.wheel: .venv/.tools $(SOURCES) $(SOURCE_LIST)
	@$(say) 'The wheel'
	@rm -rf dist; mkdir dist
	@.venv/bin/maturin build --locked --release --out dist --interpreter $(PYTHON)
	@touch $@

$(eval $(call environment,.venv,$(NEWEST),dev))
ifneq ($(OLDEST),$(NEWEST))
$(eval $(call environment,.venv-$(OLDEST),$(OLDEST),test))
OLD := .venv-$(OLDEST)
endif
$(eval $(call environment,.venv-contract,$(NEWEST),contract))
$(eval $(call environment,.venv-hosts,$(NEWEST),hosts))

# Without Apache's tools there is no mod_wsgi; its tests then say that they were not run.
.venv-hosts/.apache: .venv-hosts/.tools
	@$(say) 'Redis, and Apache with mod_wsgi'
	@tests/hosts/servers_env
	@if command -v apxs >/dev/null; then .venv-hosts/bin/python -m pip install --quiet --group mod-wsgi \
	    || echo 'mod_wsgi could not be compiled; its tests will say that they were not run.'; \
	  else echo 'No apxs was found, so there is no mod_wsgi. On Debian or Ubuntu: apt-get install apache2-dev'; fi
	@touch $@

.cache/harness-$(HARNESS_VERSION)/sdk-test-harness:
	@$(say) 'sdk-test-harness $(HARNESS_VERSION)'
	@go version >/dev/null 2>&1 || { echo 'No Go was found. The contract suite needs 1.26 or newer: https://go.dev/dl' >&2; exit 1; }
	@GOBIN='$(CURDIR)/$(@D)' go install github.com/launchdarkly/sdk-test-harness/v2@v$(HARNESS_VERSION)

# ------------------------------------------------------------------------------------------------ what the targets do

.PHONY: _build _demo _test _test-rust _test-old _test-new _test-doors _typing _lint _lint-rust _lint-python _lint-supply _bench _bench-instructions _differential _differential-long _contract _contract-long _test-hosts _promises

_build: .venv/.wheel
	@ls dist/*.whl

_demo: .venv/.wheel
	@$(say) 'examples/demo.py'
	@$(PYTHON) examples/demo.py

_test: _test-rust _test-old _test-new _test-doors _typing

_test-rust:
	@$(say) 'Rust tests, without Python'
	@cargo test --locked

_test-old: $(if $(OLD),$(OLD)/.wheel)
ifneq ($(OLD),)
	@$(say) 'Python tests on $(OLDEST)'
	@$(OLD)/bin/python -m pytest -n $(WORKERS) -m 'not once'
endif

_test-new: .venv/.wheel
	@$(say) 'Python tests on $(NEWEST)'
	@$(PYTHON) -m pytest -n $(WORKERS)

_test-doors: .venv/.wheel
	@$(say) 'Frameworks and their servers'
	@$(PYTHON) -m pytest -n $(WORKERS) tests/doors

# Both look at the wheel that a user would install, not at the source tree.
_typing: .venv/.wheel
	@$(say) 'Stub of the native module against the module itself'
	@$(PYTHON) -m mypy.stubtest --concise --allowlist .stubtest-allowlist ldclient._ldclient
	@$(say) 'Types a caller sees'
	@$(PYTHON) -m mypy --config-file= --strict tests/python/typed
	@$(PYTHON) -m basedpyright --pythonpath $(PYTHON)

_lint: _lint-rust _lint-python _lint-supply

_lint-rust: export PYO3_PYTHON := $(CURDIR)/$(PYTHON)
_lint-rust: .venv/.tools
	@$(say) 'cargo fmt, clippy without and with Python, rustdoc'
	@cargo fmt --check
	@cargo clippy --locked --all-targets -- -D warnings
	@cargo clippy --locked --all-targets --features python -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --features python

_lint-python: .venv/.tools
	@$(say) 'ruff, mypy'
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

_lint-supply:
	@$(say) 'Licences and advisories'
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked --all-features check; \
	  else echo 'Not checked: cargo-deny is not installed (cargo install --locked cargo-deny).'; fi

_test-hosts: .venv-hosts/.wheel .venv-hosts/.apache
	@$(say) 'The client in real hosts'
	@.venv-hosts/bin/python -m pytest tests/hosts

_promises: .venv-hosts/.wheel .venv-hosts/.apache
	@$(say) 'Promises, measured'
	@PYTHONPATH=tests/python .venv-hosts/bin/python tests/hosts/promises.py

_bench: .venv/.wheel
	@$(say) 'Against launchdarkly-server-sdk 9.20'
	@$(PYTHON) tests/benches/compare.py --ours $(PYTHON) --reference "$$(tests/reference_env | tail -n 1)"
	@$(say) 'What the doors of web frameworks cost a request'
	@$(PYTHON) tests/benches/doors.py

SEED ?= $(shell date +%Y%m%d)
EVALUATIONS ?= 1000000
DIFFERENTIAL = $(PYTHON) tests/differential/run.py --ours $(PYTHON) --reference "$$(tests/reference_env | tail -n 1)"
WORLDS := .cache/differential/worlds.jsonl

_differential: .venv/.wheel
	@$(say) 'Random worlds against launchdarkly-server-sdk 9.20'
	@$(DIFFERENTIAL) --worlds $(WORLDS)
	@$(say) 'The same worlds against launchdarkly-server-sdk-evaluation'
	@DIFFERENTIAL_WORLDS='$(CURDIR)/$(WORLDS)' cargo test --locked --test differential -- --nocapture

_differential-long: .venv/.wheel
	@$(say) 'Random worlds against launchdarkly-server-sdk 9.20'
	@$(DIFFERENTIAL) --seed $(SEED) --evaluations $(EVALUATIONS) --record

# As root on a Debian-like machine valgrind is installed when missing.
_bench-instructions: .venv/.wheel
	@$(say) 'Instructions a call'
	@command -v valgrind >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --yes --no-install-recommends valgrind >/dev/null; } \
	  || { echo 'No valgrind was found. On Debian or Ubuntu: apt-get install valgrind' >&2; exit 1; }
	@$(PYTHON) tests/benches/instructions.py

CONTRACT = .venv-contract/bin/python tests/contract/run.py --harness '$(CONTRACT_HARNESS)' --logs .cache/contract$(1)

_contract: .venv-contract/.wheel $(CONTRACT_HARNESS)
	@$(say) 'The contract suite'
	@$(call CONTRACT,)

_contract-long: .venv-contract/.wheel $(CONTRACT_HARNESS)
	@$(say) 'The contract suite: the tests that wait for minutes'
	@$(call CONTRACT,-long) --long-running
