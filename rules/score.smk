rule score:
    input:
        unpack(inputs("score")),
        manifest=PATHS["manifest"],  # without the real pictures: thousands of jobs times all shards
    output:
        **OUTPUTS["score"],
    log:
        "logs/score/{dataset}/{name}/{shard}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["scores"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=settings("score"),
        code=code("score"),
        inputs=flags("score"),
    message:
        "score shard {wildcards.shard} by {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.score"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --output {output.scores:q}"
        " 2>&1 | logged {log:q}"
