rule tables:
    input:
        results=lambda wildcards: targets.result_files(reported(table_runs, TABLES[wildcards.table])),
        published=lambda wildcards: TABLES[wildcards.table],
    output:
        **OUTPUTS["tables"],
    log:
        "logs/tables/{table}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json({"runs": reported(compared, TABLES[wildcards.table])}),
        code=lambda wildcards: fingerprint("stages.tables"),
    message:
        "compare our figures with those of {wildcards.table}"
    shell:
        "python -m pipeline.stages.tables"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --published {input.published:q}"
        " --output {output.table:q}"
        " 2>&1 | logged {log:q}"
