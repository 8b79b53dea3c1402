rule fetch:
    output:
        **OUTPUTS["fetch"],
    log:
        "logs/fetch/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["foundations"]),
    localrule: True  # nodes of a cluster often have no network
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("fetch"),
        code=code("fetch"),
    message:
        "fetch the foundation {wildcards.name}"
    shell:
        "python -m pipeline.stages.fetch"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --output {output.fetched:q}"
        " 2>&1 | logged {log:q}"
