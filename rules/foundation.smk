rule foundation:
    input:
        unpack(inputs("foundation")),
        fetched=lambda wildcards: PATHS["fetched"] if FLOW.part("foundations", wildcards.name).fetched else [],
        absent=warned_of_foundation,
    output:
        **OUTPUTS["foundation"],
    log:
        "logs/foundation/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    params:
        config=settings("foundation"),
        code=code("foundation"),
        inputs=lambda wildcards, input: ["--fetched", input.fetched] if input.fetched else [],
    message:
        "make or check the foundation {wildcards.name}"
    shell:
        "python -m pipeline.stages.foundation"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " {params.inputs:q}"
        " --output {output.foundation:q}"
        " 2>&1 | logged {log:q}"
