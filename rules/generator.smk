rule generator:
    input:
        unpack(inputs("generator")),
        manifest=PATHS["manifest"],
        real=real_shards,
    output:
        **OUTPUTS["generator"],
    log:
        "logs/generator/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["generators"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=settings("generator"),
        code=code("generator"),
        inputs=flags("generator"),
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
        output=subpath(output.generator, parent=True),
    message:
        "train the generator {wildcards.name} on {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.generator"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
