# Where Snakemake has no records of artifacts, or those of other files, as in a copied folder, their own statements count.

import json
import shutil

from snakemake.persistence import ParamsChange, PersistenceBase

from pipeline.artifacts import made
from pipeline.config.artifacts import SEALED, made_by
from pipeline.jobs import FINISHED

PLANNED = KEPT.with_name(f"{KEPT.stem}.statements.json")


def statements(job):
    """What a finished job's artifacts say about their making, and what they would say now; None if they say nothing.

    Of inputs that are not there, only the names count: some were deleted, and others have not been made yet.
    """
    if job.rule.name not in SEALED or any(path.is_storage for path in job.output):
        return None
    said = made.about(Path(getattr(job.output, SEALED[job.rule.name]))).get("made")
    if not said or not all(map(os.path.exists, job.output)):
        return None
    given = job.params.get("inputs", ())  # a user's table may be among them
    read = [Path(path) for path in job.input if (made_by(path) or path in given) and not path.endswith(".tar")]
    settings = json.loads(job.params.config) if "config" in job.params.keys() else None
    digests = {str(path): made.digest_of(path) if path.exists() else "" for path in read}
    now = made.statement(settings, job.params.get("code"), job.params.get("shard"), digests)
    return said, {key: now[key] for key in said} | ({} if all(digests.values()) else {"inputs": said["inputs"]})


def is_as_planned(job):
    """Whether a finished job's artifacts say that they are what would be made now."""
    said, now = statements(job) or ({}, None)
    return said == now and all(map(os.path.exists, job.input))


def change_since(job):
    """What differs between what a job's artifacts say about their making and now. A report says nothing, and counts as changed."""
    if job.rule.name in OUTPUTS.keys() - SEALED.keys():
        return ParamsChange({"unknown"}, {"a new report"}, set(job.output))
    said, now = statements(job) or ({}, {})
    before, after = ({f"{key} {each[key]}" for key in said if said[key] != now[key]} for each in (said, now))
    return ParamsChange(before, after, set(job.output))


def keep_statements():
    """Keep, for the job that verifies, which parts recipes have, and what each artifact would say of its making if it were made now."""
    if not any(job.rule.name == "verify" for job in workflow.dag.needrun_jobs()):
        return
    now = {}
    for path in sorted(path for path in Path("results").rglob("*") if path.is_file()):
        if found := reads.statement(FLOW, str(path)):
            named, modules, shard = found
            now[str(path)] = {"settings": json.loads(as_json(named)), "code": fingerprint(*modules), "shard": shard}
    PLANNED.parent.mkdir(parents=True, exist_ok=True)
    PLANNED.write_text(json.dumps({"folders": targets.folders(FLOW), "statements": now}), encoding="utf-8")


def forget_work(job):
    """Delete what a job keeps until its outputs are accepted: its checkpoint, or the pieces of its shards."""
    checkpoints = Path(job.output[0]).parent / "checkpoints"
    for mark in sorted(checkpoints.rglob(FINISHED)):  # a foundation has a folder for each of its trainings
        shutil.rmtree(mark.parent, ignore_errors=True)
    for folder in sorted([checkpoints, *checkpoints.glob("*/")], reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def use_statements():
    """Let Snakemake ask artifacts where it has no records, and take finished ones for finished whose run was killed."""
    recorded, changed, incomplete, metadata = (
        getattr(PersistenceBase, name) for name in ("has_metadata", "params_changed", "incomplete", "metadata")
    )

    def of_this_file(self, path):
        # a record holds the time of its file; a file that came from elsewhere has another one
        record = metadata(self, path)
        same = not record or path.is_storage or not os.path.exists(path) or os.stat(path).st_mtime == record.endtime
        return record if same else None

    def params_changed(self, job, file=None):
        return changed(self, job, file) if recorded(self, job) else change_since(job)

    async def still_incomplete(self, job):
        found = await incomplete(self, job)
        if not found or not is_as_planned(job):
            return found
        if not workflow.dryrun:
            self.cleanup(job)  # removes the mark
            forget_work(job)
        return []

    PersistenceBase.metadata = of_this_file
    PersistenceBase.has_metadata = lambda self, job: True
    PersistenceBase.params_changed = params_changed
    PersistenceBase.incomplete = still_incomplete


use_statements()
