rule adapt:
    input:
        unpack(inputs("adapt")),
        manifest=PATHS["manifest"],
        real=real_shards,
    output:
        **OUTPUTS["adapt"],
    log:
        "logs/adapt/{dataset}/{name}/{shard}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["generators"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=settings("adapt"),
        code=code("adapt"),
        inputs=flags("adapt"),
        shard=shard_of("adapt"),
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
    message:
        "train shard {wildcards.shard} of the generator {wildcards.name} on {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.adapt"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --shard {params.shard:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {output.adapted:q}"
        " 2>&1 | logged {log:q}"
