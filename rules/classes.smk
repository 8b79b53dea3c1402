rule classes:
    output:
        **OUTPUTS["classes"],
    log:
        "logs/classes/{dataset}.log",
    wildcard_constraints:
        dataset=of_sources(),
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("classes"),
        code=code("classes"),
        raw=lambda wildcards, output: raw_folder(FLOW, FLOW.sources()[wildcards.dataset]),  # not tracked, as in `subset`
    message:
        "list the classes of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.classes"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --output {output.class_list:q}"
        " 2>&1 | logged {log:q}"
