rule manifest:
    input:
        indices=lambda wildcards: real_shards(wildcards.dataset, "parquet"),
        rejected=lambda wildcards: real_shards(wildcards.dataset, "rejected.parquet"),
    output:
        manifest="results/{dataset}/subset/manifest.parquet",
        duplicates="results/{dataset}/subset/duplicates.parquet",
        rejected="results/{dataset}/subset/rejected.parquet",
    log:
        "logs/manifest/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(FLOW.part("datasets", wildcards.dataset).gathering_settings()),
        code=fingerprint("manifest"),
    message:
        "gather the manifest of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.manifest"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --indices {input.indices:q}"
        " --output {output.manifest:q}"
        " 2>&1 | tee {log:q}"
