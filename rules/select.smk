rule select:
    input:
        indices=lambda wildcards: pool_indices(wildcards.dataset, FLOW.samples_of(wildcards.name)),
        scores=scores_of,
    output:
        selected="results/{dataset}/select/{name}/selected.parquet",
        summary="results/{dataset}/select/{name}/summary.json",
    log:
        "logs/select/{dataset}/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(part("filters", wildcards).settings()),
        code=fingerprint("select"),
    message:
        "select generated pictures by {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.select"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --indices {input.indices:q}"
        " --scores {input.scores:q}"
        " --output {output.selected:q}"
        " 2>&1 | tee {log:q}"
