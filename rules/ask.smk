rule ask:
    input:
        manifest=classes("ask"),
    output:
        **OUTPUTS["ask"],
    log:
        "logs/ask/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["prompts"]),
        dataset=of_sources(*FLOW.parts["datasets"]),
    localrule: True  # nodes of a cluster often have no network
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("ask"),
        code=code("ask"),
        kept="results/answers",
    message:
        "ask the endpoint of {wildcards.name} about the classes of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.ask"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --kept {params.kept:q}"
        " --output {output.answers:q}"
        " 2>&1 | logged {log:q}"
