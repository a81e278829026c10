# Every target may be interrupted and repeated. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv

py := $(VENV)/bin/python
ready := $(VENV)/.ready
only := $(if $(ONLY),--only $(ONLY))
again := Measuring again: $(if $(ALL),every number; about a day,what takes under three hours) on two cores.
supported := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

.DEFAULT_GOAL := help
.PHONY: help install figures test lab reproduce zoo lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Options: ONLY=05 (one notebook), FAST=1 (test: skip the notebooks), TOWER=main (zoo: which image tower), BASE=1 (zoo: the base too),"
	@echo "         LANGUAGE=1 or LANGUAGE=text-large (zoo: a language model and its adapters instead),"
	@echo "         ALL=1 (reproduce: also the other seeds and all that learns on test pictures; a GPU: MERGELIB_DEVICE=cuda),"
	@echo "         SCALE=ViT-B-32 (reproduce: on the published CLIP experts, downloaded; or ViT-B-16, ViT-L-14),"
	@echo "         ARGS=... (passed on as it is), PYTHON=python3.12 (what to install with), VENV=folder (default .venv)"

install: $(ready) ## make .venv with the tested versions (the other targets do it for you)

figures: $(ready) ## run every notebook on the committed numbers and redraw all figures (minutes)
	@echo "Running the notebooks on the committed numbers and redrawing the figures: minutes."
	$(py) -m mergelib.reproduce figures $(only) $(ARGS)

test: $(ready) ## run the tests and every notebook, two at a time (FAST=1: without the notebooks)
	@echo "Running the tests$(if $(FAST),, and every notebook): minutes."
	OMP_NUM_THREADS=1 $(py) -m pytest -n 2 --dist worksteal $(if $(FAST),-m 'not notebooks') $(ARGS)

lab: $(ready) ## open the notebooks in JupyterLab
	@echo "Opening the notebooks in JupyterLab; Ctrl-C twice ends it."
	$(VENV)/bin/jupyter lab $(ARGS) notebooks

reproduce: $(ready) ## measure again what takes under three hours, then redraw (ALL=1: everything, a day; resumes)
	@echo "$(if $(SCALE),Measuring on the published $(SCALE) and data sets: tens of gigabytes to fetch; a GPU helps.,$(again))"
	@echo "Ctrl-C is safe; the next call resumes."
	$(py) -m mergelib.reproduce reproduce $(only) $(if $(ALL),--all) $(if $(SCALE),--scale $(SCALE)) $(ARGS)

zoo: $(ready) ## train the benchmark's experts again (minutes; BASE=1: their base too, hours; resumes)
	@echo "Training the benchmark's models: $(if $(LANGUAGE),an hour at most,$(if $(BASE),hours,minutes)) on two cores. Ctrl-C is safe; the next call resumes."
	$(py) -m mergelib.zoo $(if $(TOWER),--tower $(TOWER))$(if $(BASE), --base) $(ARGS) $(if $(LANGUAGE),--language $(filter-out 1,$(LANGUAGE)))

lint: $(ready) ## check the style of package, tests and notebooks
	$(VENV)/bin/ruff check $(ARGS)

clean: ## remove what install and the tests made; numbers, figures and .cache stay
	rm -rf .venv build mergelib.egg-info .pytest_cache .ruff_cache

# The stamp is written last: an interrupted installation is repeated, a finished one is not. A .venv that does not
# work (cut short, its Python gone or too old) is made anew.
$(ready): pyproject.toml constraints.txt
	@echo "Installing into $(VENV): about 6 GB (torch with its CUDA libraries), two to four minutes, from PyPI only."
	@$(py) -c 'import pip; $(supported)' 2>/dev/null || { \
	    $(PYTHON) -c '$(supported)' 2>/dev/null || { \
	        echo "mergelib needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is none of them. Try: make PYTHON=python3.12" >&2; \
	        exit 1; }; \
	    $(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV); }
	$(py) -m pip install -c constraints.txt -e '.[test]'
	@touch $@
