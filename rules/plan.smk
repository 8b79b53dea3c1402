rule plan:
    input:
        unpack(inputs("plan")),
        manifest=classes("plan"),
    output:
        **OUTPUTS["plan"],
    log:
        "logs/plan/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["pools"]),
        dataset=of_sources(*FLOW.parts["datasets"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("plan"),
        code=code("plan"),
        inputs=flags("plan"),
    message:
        "plan the pool {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.plan"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --output {output.plan:q}"
        " 2>&1 | logged {log:q}"
