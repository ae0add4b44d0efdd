# The grid: every notebook executed with papermill, one process per run. `snakemake -n` shows the plan.
#   snakemake --cores 2 --config profile=grid            any field of jointlib.config.Config may follow, e.g. init=pretrained
# How `make reproduce` and a cluster call it: .config/snakemake and docs/scale.md.
import json
import shlex
import sys

import yaml
from filelock import FileLock, Timeout

from jointlib.config import CHECKOUT, ConfigError, load_config
from jointlib.corpora.batches import sources
from jointlib.runs.plan import is_baseline, plan, survey
from jointlib.strategies import STRATEGIES, Classifier, Enhancer

PROFILE = str(config.get("profile", "quick"))


def given(value):
    """A value of --config; entries of a list arrive as text."""
    return [yaml.safe_load(entry) for entry in value] if isinstance(value, list) else value


OVERRIDES = {name: given(value) for name, value in config.items() if name != "profile"}
try:
    if one := {"alpha", "strategy", "seed"} & set(OVERRIDES):
        raise ConfigError(f"{', '.join(one)}: the grid takes lists, alphas=[0.1,0.5] strategies=[jt,bn] seeds=[0,1]")
    BASE = load_config(PROFILE, **OVERRIDES)
    if BASE.embedded is None:
        sources(BASE)  # an error here names missing downloads before anything is started
    CELLS = plan(BASE)
    if workflow.is_main_process:  # not again in each job, where fit() makes the same checks
        seconds = json.loads((CHECKOUT / "results/reference/times.json").read_text())["seconds"].get(PROFILE)
        took = f"{seconds / 60:.0f} min in all on 2 CPU cores" if seconds else "see the table of profiles in docs/scale.md"
        data = f"{'synthetic speech and noise, ' if BASE.embedded else ''}{BASE.corpus} and {BASE.noise}"
        print(f"Profile {PROFILE}: {survey(BASE)}; then tables, figures and the report", file=sys.stderr)
        print(f"Data: {data}\nTime: {took}", file=sys.stderr)
except (OSError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")  # `quiet` would hide Snakemake's own message
RESULTS = BASE.summary
RUNS = BASE.folder / "runs"
PIPELINE = FileLock(BASE.folder / ".pipeline.lock")  # released by the system, however the pipeline ends


onstart:
    BASE.folder.mkdir(parents=True, exist_ok=True)
    try:
        PIPELINE.acquire(timeout=0)
    except Timeout:
        sys.exit(f"another pipeline is running on {BASE.folder}; wait for it, or stop it first")


onerror:
    print("Not finished. Completed work is kept: the same command resumes there.", f"Snakemake's log: {log[0]}", sep="\n")


def parameters(cell=None, **own):
    """A notebook's parameters as JSON: the profile, what overrides it, and a run's own values in place of the grid's lists."""
    lists = ("strategies", "alphas", "seeds") if cell else ()
    values = {name.upper(): value for name, value in OVERRIDES.items() if name not in lists}
    return json.dumps({"PROFILE": PROFILE, **values, **(cell.parameters if cell else {}), **own})


PYTHON = shlex.quote(sys.executable)
EXECUTE = f"{PYTHON} {shlex.quote(str(CHECKOUT / '.config/execute.py'))}"
REPORT = f"{PYTHON} {shlex.quote(str(CHECKOUT / '.config/report.py'))}"
EXECUTED = f"{RESULTS}/notebooks"
MANY = 64  # threads: all of this machine, or --max-threads
# If CUDA_VISIBLE_DEVICES lists several GPUs, a run locks a free one until its process ends.
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
BASELINES = [name for name in BASE.strategies if is_baseline(name)]
NETWORKS = {STRATEGIES[name].network for name in BASE.strategies}
SUMMARIES = ["02_baselines"] * bool(BASELINES) + ["04_tables", "06_audition", "07_beyond_the_paper"]
SUMMARIES += ["05_figures"] * (NETWORKS not in ({Classifier}, {Enhancer}))  # which draws accuracy beside quality
OWN = {"02_baselines": {"BASELINES": BASELINES, "SEED": BASE.seeds[0]}, "06_audition": {"STATIC": True}}


localrules: all


rule all:  # has no output, so that it prints the answer even if everything was done before
    input:
        f"{RESULTS}/report.html",
    params:
        yaml=parameters(),
    shell:
        "{REPORT} {params.yaml:q}"


rule contaminate:
    input:
        ancient(f"{CHECKOUT}/notebooks/01_contaminate.ipynb"),
    output:
        f"{RESULTS}/contamination/test.csv",
    log:
        notebook=f"{EXECUTED}/01_contaminate.ipynb",
    params:
        yaml=parameters(),
    threads: MANY  # uses the whole machine
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "{EXECUTE} {input:q} {log.notebook:q} {params.yaml:q}"


rule cell:
    input:
        ancient(rules.contaminate.output),
        lambda wildcards: expand(f"{RUNS}/{{run}}/notebook.done", run=CELLS[wildcards.run].starts_from),
        notebook=ancient(lambda wildcards: f"{CHECKOUT}/notebooks/{CELLS[wildcards.run].notebook}.ipynb"),
    output:  # a marker: snakemake removes the outputs of a notebook that fails, but must not remove the run
        touch(f"{RUNS}/{{run}}/notebook.done"),
    log:
        notebook=f"{EXECUTED}/{{run}}.ipynb",
    params:
        yaml=lambda wildcards: parameters(CELLS[wildcards.run]),
    threads: BASE.threads or MANY
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, 4),
        runtime=240,  # minutes; a job killed at this limit resumes from its checkpoint, up to --retries times
    priority: lambda wildcards: CELLS[wildcards.run].priority
    shell:
        "{TAKE_GPU} {EXECUTE} {input.notebook:q} {log.notebook:q} {params.yaml:q}"


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
        "{EXECUTE} {input.notebook:q} {log.notebook:q} {params.yaml:q}"


rule report:
    input:
        expand(f"{RESULTS}/{{summary}}.done", summary=SUMMARIES),
    output:
        f"{RESULTS}/report.html",
    log:
        f"{EXECUTED}/08_report.log",
    params:
        yaml=parameters(),
        notebooks=expand(f"{EXECUTED}/{{name}}.ipynb", name=["01_contaminate", *sorted(CELLS), *SUMMARIES]),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        """
        echo Writing the notebooks as pages, and the report >&2
        {REPORT} {params.yaml:q} {params.notebooks:q} 2>{log:q} || {{ tail -n 3 {log:q} >&2; echo More: {log:q} >&2; exit 1; }}
        """
