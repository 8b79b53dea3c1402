# Shared by a run and by its jobs on other machines: the environment of jobs, and where a run keeps what it planned.

import os
import re
import sys
import uuid

from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from pipeline.config.artifacts import OUTPUTS
from pipeline.errors import OPTIONS, InputError, as_started, options_again
from pipeline.jobs import RUN, planned

if {"{", "}"} & set(str(workflow.basedir)):
    raise WorkflowError(
        f"{workflow.basedir} has braces in its path, which Snakemake takes for wildcards; rename that folder"
    )

shell.executable("bash")
shell.prefix(
    "set -euo pipefail; "  # Snakemake's own, which a prefix replaces; without it, a job succeeds if `tee` does
    "trap '' INT TERM; "  # `tee` must not end before the stage, which saves its work first
    'logged() {{ tee "$1" || cat > /dev/null; }}; '  # a log that cannot be written fails no job
    "trap '[ $? != 137 ] || echo \"error: the stage was killed, most often because it was out of memory:"
    " give the job more (mem_mb), or lower batch_size\" >&2' EXIT; "
)
os.environ.update(
    PYTHONPATH=str(workflow.basedir),  # stages run from any working directory
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]),  # with the python that runs this
    PYTHONUTF8="1",  # names of classes and files are UTF-8, whatever the locale
    PYTHONUNBUFFERED="1",  # lines reach the log at once
)
if not os.access(os.path.expanduser("~"), os.W_OK):  # as of a service's user: libraries keep their caches there
    os.environ.update(HOME=os.path.abspath(".snakemake/home"))
    os.makedirs(os.path.expanduser("~"), exist_ok=True)
if workflow.is_main_process:
    told = workflow.config_settings
    os.environ[OPTIONS] = options_again(told.configfiles, told.config)  # for the commands that messages name
    os.environ[RUN] = str(uuid.uuid4())  # inherited by the run's jobs on other machines

REPOSITORY = Path(os.path.relpath(workflow.basedir))
OWN_FILES = [
    REPOSITORY / "Snakefile",
    *sorted(REPOSITORY.glob("rules/*.smk")),
    *sorted(REPOSITORY.glob("pipeline/config/*.py")),
]
KEPT = Path(".snakemake", "counterweight", f"{os.getenv(RUN)}.zip")


def one_of(names):
    """A pattern for wildcards, so that names missing in the config are not targets."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def outputs(stage, store):
    """Patterns of a stage's outputs; those of generated pictures lie in the store that the config names, if it names one."""
    return {name: stored(path, store) if stage == "sample" else path for name, path in OUTPUTS.get(stage, {}).items()}


def stored(path, store):
    if not store:
        return path
    try:
        return storage(f"{store}/{path}")
    except WorkflowError:
        raise WorkflowError(
            f"sample_storage: no installed storage plugin of snakemake accepts '{store}'; install one, for example"
            " snakemake-storage-plugin-s3 for s3://bucket/folder, or -fs for /folder"
        )
