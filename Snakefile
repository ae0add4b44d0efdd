# The grid: every notebook executed with papermill, one process a cell. `snakemake -n` shows the plan.
#   snakemake --cores 2 --config profile=grid            any field of jointlib.config.Config may follow, e.g. init=pretrained
# How `make reproduce` calls it, on a cluster, too: .config/snakemake and docs/scale.md.
import json
import re
import shlex
import sys
from collections import defaultdict
from pathlib import Path

from filelock import FileLock, Timeout

from jointlib.config import CHECKOUT, ConfigError, grid, load_config, origins
from jointlib.corpora.batches import check_sources, load_data
from jointlib.runs.folder import finished, run_folder
from jointlib.runs.pages import write_page
from jointlib.runs.report import write_report
from jointlib.runs.wanted import check_place, stale, trained_before
from jointlib.strategies import STRATEGIES, Classifier, Enhancer

PROFILE = str(config.get("profile", "quick"))


def given(value):
    """A value of --config; what stands in a list there comes as text."""
    if isinstance(value, list):
        return [given(entry) for entry in value]
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


OVERRIDES = {name: given(value) for name, value in config.items() if name != "profile"}
CELL = {"alpha", "strategy", "seed"} & set(OVERRIDES)
if CELL:
    raise ConfigError(f"{', '.join(CELL)}: the grid takes lists, alphas=[0.1,0.5] strategies=[jt,bn] seeds=[0,1]")
LISTS = {"strategies", "alphas", "seeds"}
BASE = load_config(PROFILE, **OVERRIDES)
check_sources(BASE)
RESULTS = BASE.summary
RUNS = BASE.folder / "runs"
PIPELINE = FileLock(BASE.folder / ".pipeline.lock")  # given back by the system, however the pipeline ends


onstart:
    BASE.folder.mkdir(parents=True, exist_ok=True)
    try:
        PIPELINE.acquire(timeout=0)
    except Timeout as error:
        raise WorkflowError(f"another pipeline is at work on {BASE.folder}; let it end, or stop it first") from error


CELLS = grid(BASE)


def survey():
    """Refuse what is not the run that it is named as; tell which cells need no training, and which are stale."""
    for cell in CELLS.values():
        check_place(cell)  # an edited profile must not pass for the one that was run, nor half a run for a whole one
    if not RUNS.is_dir():
        return
    read = load_data(BASE.replace(device="cpu")).identity
    made, trained, reasons = 0, 0, defaultdict(list)
    for cell in CELLS.values():
        check_place(cell, read)  # nor an edited corpus
        if finished(run_folder(cell)):
            made += 1
            reasons[stale(run_folder(cell))].append(cell.run_name)
        else:
            trained += trained_before(cell, read) is not None
    print(f"{len(CELLS)} cells: {made} made, {trained} only to be evaluated anew", file=sys.stderr)
    for reason in sorted(filter(None, reasons)):
        remedy = "to have them made anew, move them away"
        print(f"Stale, {reason}: {', '.join(reasons[reason])}; {remedy}", file=sys.stderr)


if workflow.is_main_process:  # and not again in each of the jobs, whose fit() refuses the same
    survey()


WAITING = {name: [] for name in CELLS}  # for it
for cell in CELLS.values():
    for origin in origins(cell):
        WAITING[origin.run_name].append(cell)


def remaining(cell):
    """Roughly how long a cell and what waits for it take; a step with a front-end costs four without."""
    row = STRATEGIES[cell.strategy]
    own = 0 if set(row.frozen) == {"frontend", "backend"} else cell.own_steps * (1 if row.network is Classifier else 4)
    return own + max(map(remaining, WAITING[cell.run_name]), default=0)


def urgency(wildcards):
    """The longest chain first; what is short fills the cores at the end."""
    return remaining(CELLS[wildcards.run])


def baseline(cell):
    """Whether notebook 2 is about it: a part alone, or a cascade of the paper's."""
    row = STRATEGIES[cell.strategy]
    return row.network in (Classifier, Enhancer) or (row.published and row.alpha is not None)


def notebook_of(wildcards):
    chosen = "02_baselines" if baseline(CELLS[wildcards.run]) else "03_train_strategy"
    return f"{CHECKOUT}/notebooks/{chosen}.ipynb"


def parameters(cell=None, **more):
    """The notebook's parameters as YAML: the profile, what overrides it, and the cell, not the others in the grid."""
    known = {name.upper(): value for name, value in OVERRIDES.items() if cell is None or name not in LISTS}
    values = {"PROFILE": PROFILE, **known, **more}
    if cell is not None:
        values |= {"SEED": cell.seed} | ({"STEPS": cell.steps} if cell.steps != BASE.steps else {})
        own = {"BASELINES": [cell.strategy]} if baseline(cell) else {"STRATEGY": cell.strategy, "ALPHA": cell.alpha}
        values |= own
    return json.dumps(values)


PAPERMILL = f"{shlex.quote(sys.executable)} -m papermill --log-level WARNING --no-progress-bar -k python3"
EXECUTED = f"{RESULTS}/notebooks"
MANY = 64  # threads: all that there are here, or as --max-threads says
# Of several GPUs that CUDA_VISIBLE_DEVICES lists a cell takes one that no other holds, and has it until its process ends.
TAKE_GPU = """
IFS=, read -ra gpus <<< "${CUDA_VISIBLE_DEVICES:-}"
while (( ${#gpus[@]} > 1 )); do
    for gpu in "${gpus[@]}"; do
        exec {held}>"${TMPDIR:-/tmp}/gpu-$UID-$gpu.lock"
        if flock -n $held; then export CUDA_VISIBLE_DEVICES=$gpu; break 2; fi
        exec {held}>&-
    done
    sleep 2
done
"""
BASELINES = [name for name in BASE.strategies if baseline(BASE.replace(strategy=name))]
SUMMARIES = ["02_baselines"] * bool(BASELINES) + ["04_tables", "05_figures", "06_audition", "07_beyond_the_paper"]
OWN = {"02_baselines": {"BASELINES": BASELINES, "SEED": BASE.seeds[0]}, "06_audition": {"STATIC": True}}


rule all:
    input:
        f"{RESULTS}/report.html",


rule contaminate:
    input:
        ancient(f"{CHECKOUT}/notebooks/01_contaminate.ipynb"),
    output:
        f"{RESULTS}/contamination/test.csv",
    log:
        notebook=f"{EXECUTED}/01_contaminate.ipynb",
    params:
        yaml=parameters(),
    threads: MANY  # it has the machine to itself
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "{PAPERMILL} {input:q} {log.notebook:q} -y {params.yaml:q} >/dev/null"


rule cell:
    input:
        ancient(rules.contaminate.output),
        lambda wildcards: [run_folder(origin) / "notebook.done" for origin in origins(CELLS[wildcards.run])],
        notebook=ancient(notebook_of),
    output:  # a marker: snakemake removes the outputs of a notebook that fails, and the run must outlive it
        touch(f"{RUNS}/{{run}}/notebook.done"),
    log:
        notebook=f"{EXECUTED}/{{run}}.ipynb",
    params:
        yaml=lambda wildcards: parameters(CELLS[wildcards.run]),
    threads: BASE.threads or MANY
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, 4),
        runtime=240,  # minutes; what is killed at their end goes on from its checkpoint, as often as --retries says
    priority: urgency
    shell:
        "{TAKE_GPU} {PAPERMILL} {input.notebook:q} {log.notebook:q} -y {params.yaml:q} >/dev/null"


rule summary:
    input:
        expand(f"{RUNS}/{{run}}/notebook.done", run=CELLS),
        notebook=f"{CHECKOUT}/notebooks/{{summary}}.ipynb",
    output:
        touch(f"{RESULTS}/{{summary}}.done"),
    log:
        notebook=f"{EXECUTED}/{{summary}}.ipynb",
    params:
        yaml=lambda wildcards: parameters(**OWN.get(wildcards.summary, {})),
    wildcard_constraints:
        summary="|".join(SUMMARIES),
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    shell:
        "{PAPERMILL} {input.notebook:q} {log.notebook:q} -y {params.yaml:q} >/dev/null"


rule report:
    input:
        expand(f"{RESULTS}/{{summary}}.done", summary=SUMMARIES),
    output:
        f"{RESULTS}/report.html",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    run:
        for name in ("01_contaminate", *sorted(CELLS), *SUMMARIES):  # others in that folder are the user's own
            if (notebook := Path(EXECUTED, f"{name}.ipynb")).exists():
                write_page(notebook)
        write_report(BASE)
