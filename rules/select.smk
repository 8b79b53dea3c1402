rule select:
    input:
        unpack(inputs("select")),
        manifest=PATHS["manifest"],
    output:
        **OUTPUTS["select"],
    log:
        "logs/select/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["filters"]),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("select"),
        code=code("select"),
        inputs=flags("select"),
    message:
        "select generated pictures by {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.select"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --output {output.selected:q}"
        " 2>&1 | logged {log:q}"
