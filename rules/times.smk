rule times:
    input:
        timed_inputs,
        published=lambda wildcards: TIMES[wildcards.table],
    output:
        **OUTPUTS["times"],
    log:
        "logs/times/{table}.log",
    wildcard_constraints:
        table=one_of(TIMES),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json({"rows": reported(timed_rows, TIMES[wildcards.table])}),
        code=lambda wildcards: fingerprint("stages.times", *reported(timed_modules, TIMES[wildcards.table])),
    message:
        "time the pools of {wildcards.table}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.times"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --published {input.published:q}"
        " --output {output.times:q}"
        " 2>&1 | logged {log:q}"
