rule quality:
    input:
        unpack(inputs("quality")),
        manifest=PATHS["manifest"],
        real=real_shards,
    output:
        **OUTPUTS["quality"],
    log:
        "logs/quality/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["qualities"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=settings("quality"),
        code=code("quality"),
        inputs=flags("quality"),
    message:
        "measure the quality {wildcards.name} of generated pictures for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.quality"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --output {output.quality:q}"
        " 2>&1 | logged {log:q}"
