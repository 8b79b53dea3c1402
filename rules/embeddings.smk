rule embeddings:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        foundation=PATHS["foundation"],
    output:
        **OUTPUTS["embeddings"],
    log:
        "logs/embeddings/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["foundations"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        code=code("embeddings"),
    message:
        "compute embeddings of the real pictures of {wildcards.dataset} by {wildcards.name}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.embeddings"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --foundation {input.foundation:q}"
        " --output {output.embeddings:q}"
        " 2>&1 | logged {log:q}"
