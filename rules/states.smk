rule states:
    input:
        adapted=lambda wildcards: expand(
            PATHS["adapted"],
            **wildcards,
            shard=[f"{shard:05d}" for shard in range(part("generators", wildcards).shards)],
        ),
    output:
        **OUTPUTS["states"],
    log:
        "logs/states/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["generators"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        code=code("states"),
    message:
        "list what the generator {wildcards.name} has learned on {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.states"
        " --code {params.code:q}"
        " --adapted {input.adapted:q}"
        " --output {output.states:q}"
        " 2>&1 | logged {log:q}"
