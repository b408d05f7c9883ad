# `make` is the learner's command, `make test` the project's own tests. uv does the work; where it is
# not installed, a private copy goes into .tools. Without make: `uv run gpt2`.

UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --quiet
DEV := $(UV) run --quiet --group dev

.PHONY: learn test check-course mutants report-review pictures flakes grading-full grading-table hunts lint bench matrix uv clean

learn: .venv/bin/gpt2
	@$(RUN) gpt2

# Two processes share the tests, each computing with one thread.
test: uv
	$(UV) sync --quiet --group dev --compile-bytecode
	OMP_NUM_THREADS=1 $(DEV) pytest tests -q -n 2 --dist worksteal
	$(DEV) pytest --reference

# The course checks itself: skeletons, references, READMEs, mistakes, right answers; ARGS="-k 07-" for one problem.
check-course: uv
	OMP_NUM_THREADS=1 $(DEV) pytest -q -n 2 --dist worksteal tests/test_course.py tests/test_mistakes.py tests/test_right_answers.py $(ARGS)

# Changes each reference in small ways and counts how many of the changes its problem's checks notice.
mutants: uv
	$(DEV) gpt2 author mutants

# What a learner would read for each of these changes, into reports.txt, to be skimmed for what is false.
report-review: uv
	$(DEV) gpt2 author reports

# The pictures of the READMEs anew, from the references; ARGS="05 10" for some problems.
pictures: uv
	OMP_NUM_THREADS=1 $(DEV) gpt2 author pictures $(ARGS)

# A hundred runs with other random numbers, on one thread and two.
flakes: uv
	$(DEV) python tests/flakes.py

# Every known mistake and every right answer as a submission; ARGS="05 10" for some problems.
grading-full: uv
	OMP_NUM_THREADS=1 $(DEV) python tests/grading_full.py $(ARGS)

# GRADING-TABLE.md anew: what every known mistake earns; ARGS="05 10" for some problems.
grading-table: uv
	OMP_NUM_THREADS=1 $(DEV) python -m common.grading.table $(ARGS)

# Which checks each mistake of the bug hunts fails: hunts/effects.json anew (10 minutes).
hunts: uv
	OMP_NUM_THREADS=1 $(DEV) python -m common.hunting.effects

# Every Python and torch that is allowed and can be had here; ARGS=--reduced for few of them.
matrix: uv
	python3 tests/matrix.py $(ARGS)

lint: uv
	$(DEV) ruff check .
	$(DEV) ty check

bench: uv
	$(DEV) python benchmarks/feedback.py
	$(DEV) python benchmarks/watch.py

.venv/bin/gpt2: uv
	@test -x .venv/bin/gpt2 || { echo "Setting up .venv, once. PyTorch is the large part."; $(UV) sync; }

uv: $(if $(findstring .tools,$(UV)),.tools/bin/uv)

.tools/bin/uv:
	@echo "uv is not installed; putting a private copy into .tools."
	@python3 -m venv .tools 2>/dev/null && .tools/bin/pip install --quiet uv \
	  || { rm -rf .tools && mkdir -p .tools/bin && python3 -m pip install --quiet --target .tools/lib uv \
	       && ln -s ../lib/bin/uv .tools/bin/uv; } \
	  || { rm -rf .tools; echo "Could not install uv. Install it by hand (pipx install uv), then run make again."; exit 1; }

clean:
	rm -rf .venv .tools .pytest_cache .ruff_cache .hypothesis
