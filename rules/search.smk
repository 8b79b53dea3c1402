rule search:
    input:
        unpack(inputs("search")),
    output:
        **OUTPUTS["search"],
    log:
        "logs/search/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(name for name, classifier in FLOW.parts["classifiers"].items() if classifier.search),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("search"),
        code=code("search"),
        inputs=flags("search"),
        output=subpath(output.chosen, parent=True),
    message:
        "choose among the trials of {wildcards.name} on {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.search"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " {params.inputs:q}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
