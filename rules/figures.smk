rule figures:
    input:
        table=PATHS["table"],
    output:
        **OUTPUTS["figures"],
    log:
        "logs/figures/{table}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        code=lambda wildcards: fingerprint("stages.figures"),
    message:
        "plot {wildcards.table}"
    shell:
        "python -m pipeline.stages.figures"
        " --code {params.code:q}"
        " --table {input.table:q}"
        " --output {output.figure:q}"
        " 2>&1 | logged {log:q}"
