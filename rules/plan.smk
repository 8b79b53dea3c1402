rule plan:
    input:
        manifest=manifest,
    output:
        plan="results/{dataset}/plan/{name}/plan.parquet",
    log:
        "logs/plan/{dataset}/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(part("samples", wildcards).plan_settings()),
        code=fingerprint("plan"),
    message:
        "plan the pool {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.plan"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --output {output.plan:q}"
        " 2>&1 | tee {log:q}"
