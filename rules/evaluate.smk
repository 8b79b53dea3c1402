rule evaluate:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        weights=PATHS["weights"],
    output:
        **OUTPUTS["evaluate"],
    log:
        "logs/evaluate/{dataset}/{name}/seed-{seed}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["classifiers"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        code=code("evaluate"),
        output=subpath(output.metrics, parent=True),
    message:
        "evaluate {wildcards.name} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.evaluate"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --weights {input.weights:q}"
        " --seed {wildcards.seed}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
