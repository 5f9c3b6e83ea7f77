# `make help` lists the targets.
# Everything a target needs goes into .venv; nothing outside the checkout is changed but the cache of weights.

# The Python chooses TensorFlow: 3.12 and later have today's, with Keras 3, earlier ones 2.15 with Keras 2 and Addons.
# TENSORFLOW=2.15 or 2.21 asks for one of both, in an environment of its own.
TENSORFLOW ?=
PYTHONS_2.15 := 3.11 3.10 3.9
PYTHONS_2.21 := 3.13 3.12
PYTHONS := $(if $(TENSORFLOW),$(PYTHONS_$(TENSORFLOW)),$(PYTHONS_2.21) $(PYTHONS_2.15))
ifeq ($(PYTHONS),)
$(error TENSORFLOW=$(TENSORFLOW): is none of 2.15 and 2.21)
endif

VENV := .venv$(addprefix -,$(TENSORFLOW))
RUN := $(VENV)/bin/python
DEMO := demo
PEERS := .venv-peers

# The newest Python on PATH that fits, else of pyenv; PYTHON=/path/to/python overrides.
FITS := -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' $(PYTHONS)
PYENV_ROOT ?= $(HOME)/.pyenv
PYTHON ?= $(shell for python in $(addprefix python,$(PYTHONS)) python3 python \
	$(foreach version,$(PYTHONS),$(wildcard $(PYENV_ROOT)/versions/$(version).*/bin/python)); do \
	"$$python" $(FITS) 2>/dev/null && { echo "$$python"; break; }; done)

# With IMAGES=folder TEST_IMAGES=folder the demo runs on your own pictures.
IMAGES ?=
TEST_IMAGES ?=
DEMO_IMAGES = $(or $(IMAGES),$(DEMO)/data/train)
DEMO_TEST_IMAGES = $(or $(TEST_IMAGES),$(if $(IMAGES),$(IMAGES),$(DEMO)/data/test))

# For `make reproduce`; EPOCHS= and LIMIT= shorten its runs.
DATA ?= data/tfrecords
EPOCHS ?= 0
LIMIT ?= 0

# For `make clean-data`: what goes into the cleaning besides, like CLEANING='--method=all --classifier=file.keras'.
CLEANING ?=


# What needs neither TensorFlow nor long work.
FAST := tests/core tests/pictures tests/evaluation tests/test_layering.py tests/test_console.py \
	tests/test_completion.py --ignore=tests/core/test_flags.py --ignore=tests/core/test_runtime.py

.PHONY: help install clean-data demo reproduce test test-fast lint format peers clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo     from pictures to a submission: draws samples, makes shards, trains, predicts'
	@echo '              IMAGES=folder TEST_IMAGES=folder: on your own pictures'
	@echo 'make clean-data [IMAGES=folder] surveys the pictures and finds those not to be trained on; without'
	@echo '              IMAGES on drawn samples with planted faults'
	@echo 'make reproduce DATA=tfrecords TEST_IMAGES=folder [EPOCHS=n LIMIT=n]'
	@echo '              repeats the five runs that this project follows, and compares'
	@echo 'make install  makes the environment, .venv'
	@echo 'make test     runs every test'
	@echo 'make test-fast  runs those that train and load no network'
	@echo 'make lint     checks style and types'
	@echo 'make format   formats the code'
	@echo 'make peers    installs what tools.benchmark --peers compares with, into $(PEERS)'
	@echo 'make clean    removes the environments and what the demo made'
	@echo 'PYTHON=python3.12 chooses the Python (3.9 to 3.13) that .venv is made with; TENSORFLOW=2.15 or 2.21'
	@echo '              one that has this TensorFlow, for an environment of its own'

demo: $(VENV)/ready
ifneq ($(IMAGES),)
ifeq ($(TEST_IMAGES),)
	@echo 'note: without TEST_IMAGES=folder it predicts the pictures that it trains on, which tells nothing of new ones'
endif
endif
ifeq ($(IMAGES),)
	$(RUN) -m tools.make_sample_images --output=$(DEMO)/data
endif
	$(RUN) -m tools.fetch_weights
	$(RUN) -m tools.make_tfrecords --images='$(DEMO_IMAGES)' --output=$(DEMO)/tfrecords --overwrite
	$(RUN) -m dogcat.train --tfrecords=$(DEMO)/tfrecords --runs=$(DEMO)/runs --unfreeze_from=96 \
		--optimizer=sgd --learning_rate=0.001 --batch_size=32 --epochs=1
	$(RUN) -m dogcat.predict --model=$(DEMO)/runs/latest --images='$(DEMO_TEST_IMAGES)' \
		--output=$(DEMO)/submission.csv
	@echo
	@echo 'The demo is done. Everything it made is in $(DEMO)/:'
	@echo '  $(DEMO)/tfrecords/dataset.json       what the shards hold'
	@echo '  $(DEMO)/tfrecords/rejected.csv       pictures that could not be used, with reasons'
	@echo '  $(DEMO)/runs/latest/report.html      how good the model is, and where it is wrong'
	@echo '  $(DEMO)/runs/latest/best.keras       the model'
	@echo '  $(DEMO)/submission.csv               the probability of dog for each test picture'

CLEAN_IMAGES = $(or $(IMAGES),$(DEMO)/faulty/train)
clean-data: $(VENV)/ready
ifeq ($(IMAGES),)
	$(RUN) -m tools.make_sample_images --output=$(DEMO)/faulty --faults=4
endif
	$(RUN) -m tools.fetch_weights
	$(RUN) -m tools.survey_images --images='$(CLEAN_IMAGES)' --output=$(DEMO)/survey
	$(RUN) -m tools.clean_images --images='$(CLEAN_IMAGES)' --output=$(DEMO)/cleaning $(CLEANING)
	@echo
	@echo 'Pages for any browser, and the list behind the second:'
	@echo '  $(DEMO)/survey/survey.html           sizes, formats, outliers'
	@echo '  $(DEMO)/cleaning/review.html         the suspects, for you to decide'
	@echo '  $(DEMO)/cleaning/suspects.csv        the same as a table'
ifeq ($(IMAGES),)
	@echo '  $(DEMO)/faulty/faults.csv            the faults that were planted'
	@echo
	@echo 'Planted faults with the rank and kind that the tool gave them:'
	@$(RUN) -c '$(COMPARE_FAULTS)' $(DEMO)/faulty/faults.csv $(DEMO)/cleaning/suspects.csv
endif

define COMPARE_FAULTS
import csv, sys; \
planted, found = (list(csv.DictReader(open(name))) for name in sys.argv[1:]); \
suspects = {row["path"]: row for row in found}; \
name = lambda row: row["detail"] if row["detail"] in suspects else row["path"]; \
print(*("  %-12s %-12s -> %s" % (row["path"], row["fault"], "%(rank)s, %(kind)s, %(path)s" % suspects[name(row)] \
	if name(row) in suspects else "not found") for row in planted), sep="\n")
endef

reproduce: $(VENV)/ready
	$(RUN) -m tools.reproduce --tfrecords='$(DATA)' --test_images='$(or $(TEST_IMAGES),data/test)' \
		--epochs=$(EPOCHS) --limit=$(LIMIT)

install: $(VENV)/ready

test: $(VENV)/ready
	$(RUN) -m pytest

test-fast: $(VENV)/ready
	$(RUN) -m pytest --without-tensorflow $(FAST)

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/ready
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf .venv .venv-2.15 .venv-2.21 $(DEMO) $(PEERS)

# Not an extra of setup.cfg: the peers' NumPy is newer than TensorFlow 2.15 can use, so they live in an environment
# of their own. PyTorch, which FFCV imports, comes in its build without CUDA; 2.13 needs Python 3.10, PEERS_TORCH
# chooses another. FFCV is compiled against OpenCV and TurboJPEG (Debian: libopencv-dev libturbojpeg0-dev pkg-config
# g++); its own needs are named one by one, since it asks for opencv-python, which overwrites the headless build.
PEERS_TORCH ?= torch==2.13.0
PEERS_PIP := $(PEERS)/bin/python -m pip install --quiet
peers: $(VENV)/ready
	$(RUN) -m venv $(PEERS)
	$(PEERS_PIP) --extra-index-url https://download.pytorch.org/whl/cpu $(PEERS_TORCH)
	$(PEERS_PIP) pillow webdataset opencv-python-headless
	$(PEERS_PIP) nvidia-dali-cuda120 || echo 'DALI was not installed; it has wheels for Linux alone'
	$(PEERS_PIP) --extra-index-url https://download.pytorch.org/whl/cpu mosaicml-streaming torchvision $(PEERS_TORCH) || \
		echo 'MosaicML streaming was not installed'
	$(PEERS_PIP) assertpy fastargs numba psutil pytorch_pfn_extras terminaltables tqdm
	$(PEERS_PIP) --no-deps ffcv || \
		echo 'FFCV was not built; Debian: apt-get install libopencv-dev libturbojpeg0-dev pkg-config g++'
	@echo 'next: python -m tools.benchmark shards --images=folder --peers, or load'

# setup.cfg alone lists what is needed. Where a machine has no NVIDIA driver, tensorflow is replaced by
# tensorflow-cpu of the same version, the same library at half the size; it exists for Linux on x86-64. What is
# installed says so, for `pip check`. Two environments that are made at once take turns at writing into the checkout.
CPU := s/^\(Requires-Dist: \)\{0,1\}tensorflow\([=<>]\)/\1tensorflow-cpu\2/
LIST_NEEDS := import configparser; c = configparser.ConfigParser(); c.read("setup.cfg"); \
	extras = c["options.extras_require"]; \
	print(c["options"]["install_requires"], extras["openvino"], extras["test"], sep="\n")

PIP := $(RUN) -m pip install --quiet
# uv does in a third of the time what pip does. It does not know pip's settings, so where it fails pip has its turn.
UV := $(RUN) -m uv pip install --quiet --python $(RUN) --no-cache
# As variables, since a comma would end the argument of a call.
WITH_GPU := -e '.[gpu,test]'
WITH_OPENVINO := -e '.[openvino,test]'
INSTALL = { $(PIP) uv && $(UV) $(1) || { echo 'with uv that failed; now with pip' && $(PIP) $(1); }; }

$(VENV)/ready: setup.cfg pyproject.toml
	@if [ -n "$(PYTHON)" ]; then \
		$(PYTHON) $(FITS) || { echo "PYTHON=$(PYTHON): not a CPython of $(PYTHONS) with venv"; exit 2; }; \
		$(PYTHON) -m venv $(VENV); \
	elif command -v uv >/dev/null; then \
		uv venv --seed --allow-existing --python $(firstword $(PYTHONS)) $(VENV); \
	else \
		echo 'No CPython of $(PYTHONS) with venv was found, and no uv. Install one (Debian:'; \
		echo 'apt-get install python3-venv, or python3.11-venv), or name it: make PYTHON=/path/to/python'; \
		exit 2; \
	fi
	@echo 'installing the packages of setup.cfg into $(VENV) (about 700 MB, once)'
	@if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then \
		$(call INSTALL,$(WITH_GPU)); \
	elif [ "$$(uname -sm)" = 'Linux x86_64' ]; then \
		$(RUN) -c '$(LIST_NEEDS)' | sed '$(CPU)' >$(VENV)/needs.txt && \
		$(call INSTALL,-r $(VENV)/needs.txt) && \
		flock setup.cfg $(PIP) --no-deps -e . && \
		sed -i '$(CPU)' $(VENV)/lib/python*/site-packages/dogcat-*.dist-info/METADATA; \
	else \
		$(call INSTALL,$(WITH_OPENVINO)); \
	fi
	@touch $@
