# Checks before the first job of models: foundations, what draws and scores with them, and endpoints that are asked.

import shutil

from pipeline.config.parts import on_disk
from pipeline.foundations import CLIP_CONFIG, fit, hub

MODELS = {}  # models on a hub that this run will fetch


def warned_of_foundation(wildcards):
    """No input, but a warning about a foundation that cannot be made, without which a real run does not start."""
    made = PATHS["foundation"].format(name=wildcards.name)
    complaint = FLOW.part("foundations", wildcards.name).missing()
    if workflow.dryrun and complaint and not os.path.exists(made):
        print(f"warning: foundations.{wildcards.name}: {complaint}", file=sys.stderr)
    return []


def foundation_refusals():
    """One sentence for each foundation that this run would make and cannot."""
    names = {job.wildcards.name for job in workflow.dag.needrun_jobs() if job.rule.name == "foundation"}
    parts = {name: FLOW.part("foundations", name) for name in sorted(names)}
    missing = {name: part.missing() or space_complaint(name, part.space()) for name, part in parts.items()}
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "fetch":
            missing[job.wildcards.name] = hub_complaint(job.wildcards.name)
    missing = [f"foundations.{name}: {complaint}" for name, complaint in missing.items() if complaint]
    return missing or misuses()


def misuses():
    """One sentence for each part of this run that cannot use its foundation, as far as the model's files can be seen."""
    pools = parts_of("pools", "sample").values()
    led = {pool.generator for pool in pools if pool.feedback}
    generators = {pool.generator for pool in pools} | {*parts_of("generators", "adapt")}
    found = {f"generators.{name}": misuse(FLOW.part("generators", name), name in led) for name in sorted(generators)}
    found |= {f"scores.{name}": misused_clip(score) for name, score in parts_of("scores", "score").items()}
    found |= {f"qualities.{name}": misused_clip(quality) for name, quality in parts_of("qualities", "quality").items()}
    trained = parts_of("classifiers", "classifier").items()
    found |= {f"classifiers.{name}": misused_clip(part) or misused_tower(part) for name, part in trained}
    return [f"{place}: {complaint}" for place, complaint in found.items() if complaint]


def parts_of(section, stage):
    """The parts that this run's jobs of a stage are about, by name."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == stage]
    return {job.wildcards.name: part(section, job.wildcards) for job in jobs}


def misused_clip(user):
    """Why the foundation of a score, quality or classifier is no CLIP; None if it is, or if its files come with its job."""
    name = getattr(user, "foundation", None)
    part = FLOW.part("foundations", name) if name else None
    if part is None or part.kind != "folder" or (Path(on_disk(part.path)) / CLIP_CONFIG).exists():
        return None
    return f"{part.path} has no {CLIP_CONFIG}, so it is no CLIP of open_clip; name another foundation"


def misused_tower(classifier):
    """Why a classifier cannot start from its CLIP; None if it can, or if the model's files come with its job."""
    part = FLOW.part("foundations", classifier.foundation) if classifier.foundation else None
    if part is None or part.kind != "folder":
        return None
    try:
        size = classifier.side and (classifier.side, classifier.side)
        fit.vision_tower(Path(on_disk(part.path)), classifier.mean, classifier.std, size)
    except InputError as error:
        return str(error)
    return None


def misuse(generator, feedback):
    """Why a generator cannot draw with its foundation, or not with feedback; None if it can, or if the files come with its job."""
    name = getattr(generator, "foundation", None)
    if name is None:
        return None
    part, folder = FLOW.part("foundations", name), Path(PATHS["fetched"].format(name=name)).parent / "files"
    if part.kind == "folder":
        folder = Path(on_disk(part.path))
        if not (folder / fit.INDEX).exists():
            return f"{part.path} has no {fit.INDEX}, so no generator draws with it; name another foundation"
    try:
        pipeline = hub.pipeline_of(MODELS[name]) if name in MODELS else fit.pipeline_class(folder)
    except InputError as error:
        return str(error) if (folder / fit.INDEX).exists() else None
    return pipeline and fit.misuse(f"foundations.{name}", pipeline, generator.kind, feedback)


def hub_complaint(name):
    """Why a foundation cannot be fetched, or None; and its size, for the terminal."""
    settings = FLOW.part("foundations", name).fetching_settings()
    folder = Path(PATHS["fetched"].format(name=name)).parent
    try:
        model = hub.find(*(settings[key] for key in ("hub", "variant", "allow_pickle", "safety_checker")))
    except InputError as error:
        return str(error)
    MODELS[name] = model
    tell_space(name, f"{model.bytes / 1e9:.1f} GB from {model.id}", folder)
    return None


def space_complaint(name, needed):
    """Why the files that a foundation's job writes have no room, or None; and their size, for the terminal."""
    if needed == 0:
        return None
    folder = Path(PATHS["foundation"].format(name=name)).parent
    free = tell_space(name, f"{needed / 1e9:.1f} GB after conversion", folder)
    if needed > free:
        return f"its files take {needed / 1e9:.1f} GB, but the disk of {folder} has {free / 1e9:.1f} GB left; make room"
    return None


def tell_space(name, needed, folder):
    """Bytes that are free on the disk of a foundation's folder, after printing that and what is needed."""
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    print(f"foundations.{name}: {needed}; {free / 1e9:.1f} GB are free", file=sys.stderr)
    return free


def endpoint_refusals():
    """One sentence for each endpoint that this run would ask and cannot."""
    names = {job.wildcards.name for job in workflow.dag.needrun_jobs() if job.rule.name == "ask"}
    missing = {name: FLOW.part("prompts", name).missing() for name in sorted(names)}
    return [f"prompts.{name}: {complaint}" for name, complaint in missing.items() if complaint]
