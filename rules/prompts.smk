rule prompts:
    input:
        unpack(inputs("prompts")),
        manifest=classes("prompts"),
        answers=lambda wildcards: [PATHS["answers"]] if part("prompts", wildcards).asked else [],
        real=lambda wildcards: real_shards(wildcards) if part("prompts", wildcards).reads_pictures else [],
    output:
        **OUTPUTS["prompts"],
    log:
        "logs/prompts/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["prompts"]),
        dataset=of_sources(*FLOW.parts["datasets"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=lambda wildcards: int(part("prompts", wildcards).on_gpu),
    params:
        config=settings("prompts"),
        code=code("prompts"),
        inputs=flags("prompts", "path", "answers"),
    message:
        "write the prompts {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.prompts"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --output {output.prompts:q}"
        " 2>&1 | logged {log:q}"
