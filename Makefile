# The verbs of dfd. `make help` lists them; every verb sets up .venv by itself.
PYTHON ?= python3
WORK   ?= work
RECIPE ?= tiny
FOLDS  ?= 5
HOURS  ?= 8.5

# One's own data: VIDEOS=folder. Without it everything runs on the mini-DFDC, a sample that dfd makes.
MINI   := $(WORK)/mini-dfdc
ifdef VIDEOS
NAME   := $(notdir $(abspath $(VIDEOS)))
else
NAME   := mini
VIDEOS := $(MINI)/$(if $(BUNDLE),test_videos,train_sample_videos)
TEST   ?= $(MINI)/test_videos
SAMPLE ?= $(MINI)/sample_submission.csv
LABELS ?= $(MINI)/test_labels.csv
NEEDS  := $(MINI)/sample.json
# Where dfd comes with a detector, the mini-DFDC is scored with it, and trained on from its first network.
ifeq ($(BUNDLE)$(RECIPE)$(wildcard dfd/pretrained/bundle.json),tinydfd/pretrained/bundle.json)
DETECTOR := dfd/pretrained
WEIGHTS  ?= $(DETECTOR)/member-0.pt
RUN      ?= $(WORK)/$(NAME)/run-detector
endif
endif
FACES   ?= $(WORK)/$(NAME)/faces
RUN     ?= $(WORK)/$(NAME)/run-$(RECIPE)
ifeq ($(RECIPE),finetune)
WEIGHTS ?= dfd/pretrained/member-1.pt
endif
LITE0   := $(WORK)/imagenet-lite0.pt
LITE2   := $(WORK)/imagenet-lite2.pt
WEIGHTS ?= $(LITE0)
OUT     ?= submission/submission.csv

export MLFLOW_TRACKING_URI ?= sqlite:///$(abspath $(WORK))/mlflow.db

DFD     := .venv/bin/dfd
READY   := .venv/.ready
MODEL    = --recipe $(RECIPE) --model.weights $(WEIGHTS) $(if $(TRACK),--track "$(MLFLOW_TRACKING_URI)") $(if $(DETECTOR),$(shell $(CLIPS)))
# Its first network's backbone, and what that is fed: shown another margin or size, it loses much of what it knows.
CLIPS    = .venv/bin/python -c 'from dfd.inference.info import read_info, shipped; it = read_info(shipped()).members[0]; \
	print("--model.backbone", it.backbone, "--clip.margin", it.clip.margin, "--clip.size", it.clip.size)'

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup explain submission faces pretrained train crossval report mlflow test test-fast floors check bench clean \
	kernel-build kernel-check kernel-simulate kernel-push kernel-run kernel-status kernel-logs kernel-output \
	bundle-push wheelhouse wheelhouse-push

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  VIDEOS=folder    your videos, in a layout that dfd faces --help lists (default: the mini-DFDC)"
	@echo "  RECIPE=$(RECIPE)      tiny: seconds, shows the machinery · finetune: minutes, trains the detector on · cpu: minutes, from ImageNet"
	@echo "  BUNDLE=folder    for submission: score VIDEOS with this bundle, without training (dfd/pretrained: the one that ships)"
	@echo "  TEST=folder      for submission: train on VIDEOS, score these; SAMPLE=csv names the rows, LABELS=csv scores them"

setup: $(READY)  ## make .venv with the pinned packages

$(READY): requirements.txt setup.cfg pyproject.toml
	@echo "Setting up .venv: a few minutes, once."
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	@touch $@

$(MINI)/sample.json: | $(READY)
	$(DFD) sample $(MINI)

$(LITE0) $(LITE2): | $(READY)
	@mkdir -p $(dir $@)
	@$(DFD) weights $(basename $(notdir $@)) --out $@ > $@.log || { cat $@.log; exit 1; }

explain: $(READY)  ## VIDEO=file: why it gets its score, as a page beside it (OUT=page.html)
	@test -n "$(VIDEO)" || { echo "make explain: which video? make explain VIDEO=my.mp4" >&2; exit 1; }
	$(DFD) explain "$(VIDEO)" --out "$(if $(filter command,$(origin OUT)),$(OUT),$(VIDEO).html)" $(if $(BUNDLE),--bundle "$(BUNDLE)")

faces: $(READY) $(NEEDS)  ## build the dataset of faces of VIDEOS
	$(DFD) faces "$(VIDEOS)" --out "$(FACES)"

# The detector that ships, from face crops to the bundle and its card. After a stop the same command resumes.
# GPU=1 takes the recipes that it was trained with, minutes on a large card; without, their small ones, hours on two cores.
# The card quotes TERMS=file, which must describe this DATA: dfd/pretrained/TERMS.md describes that of the shipped one.
SHIP  := $(WORK)/pretrained

$(SHIP)/identity.pt $(SHIP)/mesh.tflite: | $(READY)
	$(DFD) weights $(basename $(notdir $@)) --out $@

START := $(if $(GPU),$(LITE2),$(LITE0))
LARGE := $(if $(GPU),-gpu)

pretrained: $(READY) $(START) $(SHIP)/identity.pt $(SHIP)/mesh.tflite  ## train the detector that ships: DATA=folder with dfdc/ and real/, images with index.csv (GPU=1; TERMS=file for its card)
	@test -f "$(DATA)/dfdc/index.csv" -a -f "$(DATA)/real/index.csv" || { echo "make pretrained: DATA=folder with dfdc/index.csv (crops of DFDC's faces, cut tight) and real/index.csv (photographs)" >&2; exit 1; }
	$(DFD) faces "$(DATA)/dfdc" --out $(SHIP)/dfdc --cut-margin 1.0 --size 224
	$(DFD) faces "$(DATA)/real" --out $(SHIP)/real --margin 1.7 --size 256
	$(DFD) train $(SHIP)/dfdc --recipe dfdc$(LARGE) --model.weights $(START) --fold 0 --folds 10 --groups identity --identity-weights $(SHIP)/identity.pt --out $(SHIP)/run-dfdc
	.venv/bin/python -m benchmarks.reals $(SHIP)/run-dfdc "$(DATA)/dfdc" --out $(SHIP)/reals
	$(DFD) faces $(SHIP)/reals --out $(SHIP)/dfdc-real --cut-margin 1.25 --size 224
	$(DFD) train $(SHIP)/real $(SHIP)/dfdc-real --mix 1,0.5 --recipe blend$(LARGE) --model.weights $(START) --blend.mesh $(SHIP)/mesh.tflite --fold 0 --folds 10 --out $(SHIP)/run-blend
	$(DFD) bundle $(SHIP)/run-dfdc $(SHIP)/run-blend --sets $(SHIP)/dfdc $(SHIP)/real --half --out $(SHIP)/bundle
	$(DFD) card $(SHIP)/bundle --name "The detector of dfd" --run $(SHIP)/run-dfdc $(SHIP)/run-blend $(if $(TERMS),--terms "$(TERMS)") \
		--score "DFDC crops of other people=$(SHIP)/run-dfdc/score.json" "self-blended photographs of other people=$(SHIP)/run-blend/score.json"
	@echo "Next: dfd predict VIDEO --bundle $(SHIP)/bundle; to ship it: cp -r $(SHIP)/bundle/. dfd/pretrained/"

train: faces $(WEIGHTS)  ## train one model on VIDEOS with RECIPE
	$(DFD) train "$(FACES)" $(MODEL) --out "$(RUN)-one"

crossval: faces $(WEIGHTS)  ## train every fold, print the local leaderboard score
	$(DFD) crossval "$(FACES)" $(MODEL) --folds $(FOLDS) --out "$(RUN)"

report: crossval  ## pages of the cross-validation and of its faces, to open in a browser
	$(DFD) report "$(RUN)" --faces "$(FACES)" --out "$(RUN).html"
	$(DFD) report "$(FACES)" --videos "$(VIDEOS)" --out "$(FACES).html"

# Score videos (1) with a bundle (2), and look at what came of it.
define judge
	$(DFD) predict "$(1)" --bundle "$(2)" --out $(OUT) $(if $(SAMPLE),--sample "$(SAMPLE)") --report submission/report.json --hours $(HOURS)
	$(if $(SAMPLE),$(DFD) validate $(OUT) --sample "$(SAMPLE)" --record submission/record.csv --bundle "$(2)")
	$(if $(LABELS),$(DFD) score $(OUT) --labels "$(LABELS)" --bundle "$(2)" --report submission/report.json)
endef

PAGES = @echo "Pages         $(RUN).html, $(FACES).html: open them in a browser"

ifdef BUNDLE
submission: $(READY) $(NEEDS)  ## from videos to a scored submission.csv, everything on the way
	$(call judge,$(VIDEOS),$(BUNDLE))
else ifdef DETECTOR
submission: $(READY) $(NEEDS)
	$(call judge,$(TEST),$(DETECTOR))
	$(MAKE) report
	@echo
	@echo "Detector      $(DETECTOR); CARD.md there says how it was tested, and where it fails"
	@echo "Submission    $(OUT), by the detector as it is; submission/report.json on how each video ended"
	@echo "Cross-valid.  $(RUN)/oof.csv, metrics.csv, folds.csv, score.json: trained on from the detector"
	$(PAGES)
	@echo
	@echo "What to think of it: the first score is the detector's, which has not been trained on any of these videos. They"
	@echo "are few, and all their fakes are self-blended, so its interval is wide, and it says little of other fakes: for"
	@echo "those read CARD.md. The second is what training on these few videos makes of its first network. RECIPE=finetune trains"
	@echo "its second network on; on dozens of your own videos, like those that you want to judge, that is worth a try:"
	@echo "the last lines of the cross-validation say whether it became better than the network as it is."
	@echo
	@echo "Your own videos: dfd predict my.mp4, or make submission VIDEOS=train_folder TEST=test_folder RECIPE=finetune"
else ifdef TEST
submission: report
	$(DFD) bundle "$(RUN)" --out "$(RUN)-bundle"
	$(call judge,$(TEST),$(RUN)-bundle)
	@echo
	@echo "Faces         $(FACES)"
	@echo "Cross-valid.  $(RUN)/oof.csv, metrics.csv, folds.csv, score.json"
	@echo "Bundle        $(RUN)-bundle"
	@echo "Submission    $(OUT), and submission/report.json on how each video ended"
	$(PAGES)
	@echo
	@echo "Your own videos: make submission VIDEOS=train_folder TEST=test_folder RECIPE=finetune"
	@echo "Only score some: make submission VIDEOS=folder BUNDLE=$(RUN)-bundle"
else
submission:
	@echo "make submission: VIDEOS is $(VIDEOS); say what to score: TEST=folder (trains on VIDEOS first), or BUNDLE=folder (scores VIDEOS)" >&2; exit 1
endif

KERNEL ?= predict
KERNELS = .venv/bin/python -m kernels
CHANGES = $(foreach change,$(SET),--set '$(change)')
AGAIN   = $(if $(RESUME),--resume)
IMAGE   = $(if $(LATEST),--latest)
GIVEN   = $(if $(BUNDLE),--bundle "$(BUNDLE)") $(if $(filter command,$(origin FACES)),--faces "$(FACES)")

kernel-build: $(READY)  ## KERNEL=faces|train|predict (SET="recipe=tiny hours=8", LATEST=1): one script for Kaggle, one notebook
	$(KERNELS) build $(KERNEL) $(CHANGES) $(IMAGE)

kernel-check: $(READY)  ## everything about it that Kaggle would refuse
	$(KERNELS) check $(KERNEL) $(CHANGES) $(IMAGE)

kernel-simulate: $(READY) $(MINI)/sample.json build/wheelhouse/MANIFEST.json  ## rehearse it here (RESUME=1, CUT=seconds, LAYOUT=short, BUNDLE=folder for predict, FACES=folder for train)
	$(KERNELS) simulate $(KERNEL) $(CHANGES) $(AGAIN) $(GIVEN) $(if $(CUT),--seconds $(CUT)) $(if $(LAYOUT),--layout $(LAYOUT))

kernel-push: $(READY)  ## run it on Kaggle, as committed (RESUME=1, BUNDLE=folder or model for predict, FACES=folder for train, WAIT=minutes, NO_RUN=1)
	$(KERNELS) push $(KERNEL) $(CHANGES) $(AGAIN) $(IMAGE) $(GIVEN) $(if $(WAIT),--wait $(WAIT)) $(if $(NO_RUN),--no-run)

kernel-run: $(READY)  ## faces, train and predict on Kaggle, one after the other; stopped, it continues where it was
	$(KERNELS) run $(CHANGES) $(IMAGE) $(if $(filter command,$(origin LABELS)),--labels "$(LABELS)")

kernel-status: $(READY)  ## where it stands (WAIT=minutes to its end)
	$(KERNELS) status $(KERNEL) $(if $(WAIT),--wait $(WAIT))

kernel-logs: $(READY)  ## what it printed
	$(KERNELS) logs $(KERNEL)

kernel-output: $(READY)  ## fetch what it made, validate and score it (LABELS=csv, PIN=1: from now on in the image it ran in)
	$(KERNELS) output $(KERNEL) $(if $(filter command,$(origin LABELS)),--labels "$(LABELS)") $(if $(PIN),--pin)

bundle-push: $(READY)  ## publish BUNDLE=folder as your private Kaggle Model dfd (NAME=detector, LICENCE="Apache 2.0")
	$(KERNELS) publish "$(or $(BUNDLE),dfd/pretrained)" $(if $(filter command,$(origin NAME)),--name "$(NAME)") $(if $(LICENCE),--licence "$(LICENCE)")

wheelhouse: $(READY)  ## gather the packages that Kaggle lacks (RELOCK=1 after a change of requirements.txt)
	$(KERNELS) wheelhouse $(if $(RELOCK),--relock)

wheelhouse-push: $(READY)  ## make them the newest version of your private dataset dfd-wheelhouse
	$(KERNELS) wheelhouse --push

build/wheelhouse/MANIFEST.json: kernels/wheelhouse.json | $(READY)
	$(KERNELS) wheelhouse

mlflow: $(READY)  ## open MLflow's page of the runs that were made with TRACK=1
	@echo "Runs of $(WORK) made with TRACK=1: http://127.0.0.1:5000 (stop with Ctrl-C)"
	MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow ui --backend-store-uri "$(MLFLOW_TRACKING_URI)"

# Four processes even on two cores: tests wait for time limits, downloads and polls.
PYTEST  = .venv/bin/pytest -n $(or $(JOBS),4) --dist loadfile --no-loadscope-reorder

# Hundreds of processes would compile the same modules anew.
test test-fast: export PYTHONDONTWRITEBYTECODE =

test: $(READY)  ## run the tests, in JOBS=4 processes
	$(PYTEST)

test-fast: JOBS ?= 2
test-fast: $(READY)  ## run those that are not marked slow, in two processes: a minute and a half
	$(PYTEST) -m "not slow"

floors: $(READY)  ## install the oldest versions that setup.cfg allows, and run the tiny recipe with them
	DFD_FLOORS=1 .venv/bin/pytest tests/test_floors.py

check: $(READY)  ## lint, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: $(READY)  ## measure what docs/speed.md states
	.venv/bin/python -m benchmarks

clean:  ## remove what minutes rebuild: faces and runs of the mini-DFDC, builds, the last submission
	rm -rf "$(WORK)/mini" build submission/submission.csv submission/report.json
