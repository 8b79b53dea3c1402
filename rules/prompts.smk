rule prompts:
    input:
        unpack(inputs("prompts")),
        manifest=classes("prompts"),
    output:
        **OUTPUTS["prompts"],
    log:
        "logs/prompts/{dataset}/{name}.log",
    wildcard_constraints:
        dataset=of_sources(*FLOW.parts["datasets"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("prompts"),
        code=code("prompts"),
    message:
        "write the prompts {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.prompts"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --output {output.prompts:q}"
        " 2>&1 | logged {log:q}"
