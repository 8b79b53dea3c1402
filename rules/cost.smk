rule cost:
    input:
        pictures=PATHS["subset"],
        throughput=lambda wildcards: reported(reads.throughput, wildcards.dataset),
    output:
        **OUTPUTS["cost"],
    log:
        "logs/cost/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(costs.counted(FLOW, wildcards.dataset, main_runs(wildcards))),
        code=lambda wildcards: fingerprint("stages.cost"),
        output=subpath(output.cost, parent=True),
    message:
        "estimate the cost of the main recipes on {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.cost"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --pictures {input.pictures:q}"
        " --throughput {input.throughput:q}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
