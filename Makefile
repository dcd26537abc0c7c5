# The commands of the README are `make demo`, `make demo-openflow` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PIP_CONSTRAINT := $(CURDIR)/constraints-build.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints-build.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SOURCES := $(shell find porter_ryu -name '*.py' -o -name page.html) setup.py requirements.txt porter_ryu_compat.py porter_ryu_compat.pth

.PHONY: demo demo-openflow test test-cluster soak tools lint sample metrics-page release lock bench profile clean

tools:
	@scripts/install-tools

$(VENV)/bin/tox: | tools
	@echo "Making a virtual environment in $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -q "tox>=4"

$(VENV)/installed: $(VENV)/bin/tox $(SOURCES) | tools
	@echo "Installing Porter-Ryu into $(VENV)" >&2
	@$(VENV)/bin/pip install -q .
	@$(VENV)/bin/pip install -q --no-deps --force-reinstall .
	@touch $@

demo: tools $(VENV)/installed
	@$(VENV)/bin/python -m demo

# An OpenFlow switch as the leaf: docs/openflow.md.
demo-openflow: tools $(VENV)/installed
	@$(VENV)/bin/python -m demo.openflow

# The Kubernetes components are built from their Go module, once, into the user's cache: before the
# tests, because the build would make every clock in them late.
GO := $(shell go version 2>/dev/null | grep -E 'go1\.(2[6-9]|[3-9][0-9])')
test: tools $(VENV)/bin/tox
	@if [ "$$(id -u)" -ne 0 ]; then \
	    echo "*** NOT ROOT: the functional tests (namespaces, real routers, ip) cannot run ***"; \
	    [ -z "$$CI" ] || exit 1; \
	    $(VENV)/bin/tox run-parallel -p all -e style,unit; \
	elif [ -z "$(GO)" ]; then \
	    echo "*** NO Go 1.26, which builds Kubernetes: the tests on a real cluster are NOT run ***"; \
	    $(VENV)/bin/tox run-parallel -p all -e style,unit,functional; \
	else \
	    fabric/kubernetes/build >/dev/null && \
	    $(VENV)/bin/tox run-parallel -p all -e style,unit,functional,cluster; \
	fi

test-cluster: tools $(VENV)/bin/tox
	@$(VENV)/bin/tox run -e cluster

# Repeats faults of `make test` many times; docs/bgp.md and docs/cluster.md have the last results.
soak: tools $(VENV)/bin/tox
	@ROUNDS=100 FLAPS=10000 $(VENV)/bin/tox run -e functional -- \
	    tests/functional/test_graceful_restart.py tests/functional/test_hostile.py \
	    tests/functional/test_random_faults.py tests/functional/test_all_together.py \
	    tests/functional/test_random_advertisements.py \
	    tests/functional/test_liveness.py
	@EXAMPLES=2000 $(VENV)/bin/tox run -e unit -- \
	    tests/unit/test_allocator_states.py tests/unit/test_inbound_fuzz.py \
	    tests/unit/test_advertisement_states.py
	@ROUNDS=10 $(VENV)/bin/tox run -e cluster

lint: $(VENV)/bin/tox
	@$(VENV)/bin/tox run -e style

sample: $(VENV)/installed
	@$(VENV)/bin/oslo-config-generator --namespace porter_ryu \
	    --output-file etc/porter_ryu/porter_ryu.conf.sample

# The tables in docs/metrics.md, from what an instance exports and from deploy/alerts.yaml.
metrics-page: $(VENV)/installed
	@$(VENV)/bin/pip install -q -r tests/requirements.txt
	@$(VENV)/bin/python -m tests.metrics_page

release:
	@test -n "$(IMG)" || { echo "name the image: make release IMG=registry/porter-ryu:TAG" >&2; exit 2; }
	@name="$(IMG)"; case "$${name##*/}" in \
	    *:latest) echo "$(IMG): the tag latest changes; use a fixed tag" >&2; exit 2;; \
	    *:*|*@*) ;; \
	    *) echo "$(IMG): has no tag" >&2; exit 2;; \
	esac
	@sed 's|image: .*porter-ryu.*|image: $(IMG)|' deploy/porter-ryu.yaml > deploy/release.yaml
	@sed 's|image: .*porter-ryu.*|image: $(IMG)|' deploy/porter-ryu-node.yaml > deploy/release-node.yaml
	@echo "deploy/release.yaml is ready for: kubectl apply -f deploy/release.yaml"
	@echo "deploy/release-node.yaml has the optional node instances"

# Updates the pinned packages of the image.
lock: $(VENV)/bin/tox
	@scripts/lock-requirements $(VENV)/bin/python

# With a real API server and a real leaf; ARGS="--services 1000 --only latency" runs a part.
bench: tools $(VENV)/installed
	@$(VENV)/bin/python -m benchmarks $(ARGS)

# Writes a flame graph and a list of memory allocations to build/profile; ARGS="--start first".
profile: tools $(VENV)/installed
	@$(VENV)/bin/pip install -q -r benchmarks/requirements.txt
	@$(VENV)/bin/python -m benchmarks.profile $(ARGS)

clean:
	@rm -rf $(VENV) .tox build deploy/release.yaml deploy/release-node.yaml
