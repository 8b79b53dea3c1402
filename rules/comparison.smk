rule comparison:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        indices=cells("index"),
        pictures=cells("pictures"),
    output:
        **OUTPUTS["comparison"],
    log:
        "logs/comparison/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["comparisons"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(part("comparisons", wildcards).settings()),
        code=lambda wildcards: fingerprint("stages.comparison"),
        title=lambda wildcards: targets.grid_title(FLOW, wildcards.dataset, part("comparisons", wildcards).pool),
    message:
        "draw the comparison {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.comparison"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --title {params.title:q}"
        " --manifest {input.manifest:q}"
        " --indices {input.indices:q}"
        " --output {output.comparison:q}"
        " 2>&1 | logged {log:q}"
