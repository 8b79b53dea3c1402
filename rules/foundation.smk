rule foundation:
    input:
        unpack(inputs("foundation")),
        fetched=lambda wildcards: PATHS["fetched"] if FLOW.part("foundations", wildcards.name).fetched else [],
        absent=warned_of_foundation,
    output:
        **OUTPUTS["foundation"],
    log:
        "logs/foundation/{name}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["foundations"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=lambda wildcards: int(FLOW.part("foundations", wildcards.name).trains),
    params:
        config=settings("foundation"),
        code=code("foundation"),
        inputs=flags("foundation"),
        fetched=lambda wildcards, input: ["--fetched", input.fetched] if input.fetched else [],
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
    message:
        "make or check the foundation {wildcards.name}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.foundation"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " {params.inputs:q}"
        " {params.fetched:q}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {output.foundation:q}"
        " 2>&1 | logged {log:q}"
