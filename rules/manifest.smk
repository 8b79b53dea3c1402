rule manifest:
    input:
        indices=lambda wildcards: real_shards(wildcards, "real_index"),
        rejected=lambda wildcards: real_shards(wildcards, "real_rejected"),
    output:
        **OUTPUTS["manifest"],
    log:
        "logs/manifest/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("manifest"),
        code=code("manifest"),
    message:
        "gather the manifest of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.manifest"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --indices {input.indices:q}"
        " --rejected {input.rejected:q}"
        " --output {output.manifest:q}"
        " 2>&1 | logged {log:q}"
