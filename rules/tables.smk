rule tables:
    input:
        lambda wildcards: result_files(table_runs(wildcards.table)),
        published=lambda wildcards: RESOURCES / f"{wildcards.table}.csv",
    output:
        csv="results/tables/{table}.csv",
        markdown="results/tables/{table}.md",
    log:
        "logs/tables/{table}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(
            {
                "runs": [
                    results_of(run) | {"differs": differences(wildcards.table, run)}
                    for run in table_runs(wildcards.table)
                ]
            }
        ),
        code=fingerprint("tables"),
    message:
        "put our figures beside those of {wildcards.table}"
    shell:
        "python -m pipeline.stages.tables"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --published {input.published:q}"
        " --output {output.csv:q}"
        " 2>&1 | tee {log:q}"
