rule features:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        weights=PATHS["weights"],
    output:
        **OUTPUTS["features"],
    log:
        "logs/features/{dataset}/{name}/seed-{seed}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["classifiers"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        code=code("features"),
    message:
        "compute features of the real pictures of {wildcards.dataset} under {wildcards.name}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.features"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --weights {input.weights:q}"
        " --output {output.features:q}"
        " 2>&1 | logged {log:q}"
