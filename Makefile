# The commands of the project. `make demo` and `make test` do all their own set-up on a fresh Debian machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What building and testing need, as Debian packages: compilers; the software Vulkan driver; FFmpeg's libraries (the
# decoder process) and its tools (fixtures and independent checks); the fonts that texts are set in; Python for the
# demo, the bench and a second implementation of signatures; a browser that plays what we make; the servers of an
# installation on several machines (tests start their own on free ports).
PACKAGES := build-essential ca-certificates clang cmake curl git libclang-dev nasm pkg-config \
	libvulkan1 mesa-vulkan-drivers \
	libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libavdevice-dev libswscale-dev libswresample-dev \
	ffmpeg fonts-inter fonts-noto-core fonts-noto-color-emoji fonts-noto-cjk python3 python3-venv
BENCH_PACKAGES := wrk
TEST_PACKAGES := chromium chromium-driver nats-server openssl pgbouncer postgresql sqlite3

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export PATH := $(HOME)/.cargo/bin:$(PATH)

define install
missing=""; for package in $(1); do \
	dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
if [ -n "$$missing" ]; then \
	echo "setup: installing Debian packages:$$missing"; \
	$(SUDO) apt-get update -qq; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef

.PHONY: help setup setup-test build demo test soak cluster bench bench-load lint format clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what building needs (Debian packages, Rust)
	@$(call install,$(PACKAGES))
	@command -v cargo >/dev/null || { echo "setup: installing Rust with rustup"; \
		curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal -c rustfmt -c clippy; }

setup-test: setup
	@$(call install,$(TEST_PACKAGES))
	@cmp -s tests/requirements.txt .venv/installed || { echo "setup: installing the tests' Python packages into .venv"; \
		python3 -m venv .venv && .venv/bin/pip install --quiet --requirement tests/requirements.txt \
		&& cp tests/requirements.txt .venv/installed; }
	@command -v cargo-nextest >/dev/null || { echo "setup: installing cargo-nextest"; \
		cargo install --quiet --locked cargo-nextest --version 0.9.143; }

build: setup
	@cargo build --locked --bins --package framelane --package framelane-decoder

demo: build ## Make a film through the REST API; the last line is its path
	@python3 tests/demo.py

test: setup-test ## Run every test
	@cargo build --locked --workspace --all-targets
	@cargo nextest run --locked --workspace
	@cargo test --locked --workspace --doc --quiet

soak: setup-test build ## The tests of endurance in full, with their figures (two hours; nothing else should run meanwhile)
	@FRAMELANE_SOAK=1 cargo nextest run --locked --profile soak --workspace

cluster: setup-test build ## Start the service on several processes here: PostgreSQL, NATS, its face, two workers
	@python3 tests/cluster.py

bench: build ## Compare with ffmpeg on the reference compositions; writes tests/bench/RESULTS.md
	@python3 tests/bench/bench.py

bench-load: build ## Requests a second, POSTs beside a render, event streams; writes tests/bench/LOAD.md
	@$(call install,$(BENCH_PACKAGES))
	@python3 tests/bench/load.py

lint: setup ## Check format and lints
	@cargo fmt --all -- --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings

format: ## Format the sources
	@cargo fmt --all

clean: ## Remove what was built and made
	@rm -rf target demo cluster .bench
