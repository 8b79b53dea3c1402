PLANNED = KEPT.with_name(f"{KEPT.stem}.statements.json")


def keep_statements():
    """Keep, for the job that verifies, what each artifact would say of its settings, its code and its shard if it were made now."""
    if not any(job.rule.name == "verify" for job in workflow.dag.needrun_jobs()):
        return
    now = {}
    for path in sorted(path for path in Path("results").rglob("*") if path.is_file()):
        if found := reads.statement(FLOW, str(path)):
            named, modules, shard = found
            now[str(path)] = {"settings": json.loads(as_json(named)), "code": fingerprint(*modules), "shard": shard}
    PLANNED.parent.mkdir(parents=True, exist_ok=True)
    PLANNED.write_text(json.dumps(now), encoding="utf-8")


rule verify:
    log:
        "logs/verify.log",
    retries: 0
    conda:
        "../envs/counterweight.yaml"
    threads: 4
    params:
        made=lambda wildcards: targets.folders(FLOW),
        planned=PLANNED,
    message:
        "read all results again"
    shell:
        "python -m pipeline.stages.verify --results results --made-by-recipes {params.made:q}"
        " --planned {params.planned:q} 2>&1 | logged {log:q}"
