rule grid:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        indices=pool_shards("index"),
        pictures=pool_shards("pictures"),
    output:
        **OUTPUTS["grid"],
    log:
        "logs/grid/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["pools"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        code=code("grid"),
        title=lambda wildcards: targets.grid_title(FLOW, wildcards.dataset, wildcards.name),
    message:
        "draw real beside generated pictures of {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.grid"
        " --code {params.code:q}"
        " --title {params.title:q}"
        " --manifest {input.manifest:q}"
        " --indices {input.indices:q}"
        " --output {output.grid:q}"
        " 2>&1 | logged {log:q}"
