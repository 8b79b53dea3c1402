rule cost:
    input:
        pictures="results/{dataset}/subset/pictures.parquet",
        throughput=FLOW.site.throughput or "results/{dataset}/cost/throughput.csv",
    output:
        cost="results/{dataset}/cost/cost.csv",
        page="results/{dataset}/cost/cost.md",
    log:
        "logs/cost/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(costs.counted(FLOW, wildcards.dataset, main_runs(wildcards))),
        code=fingerprint("cost"),
        output=subpath(output.cost, parent=True),
    message:
        "estimate what the main recipes take on {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.cost"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --pictures {input.pictures:q}"
        " --throughput {input.throughput:q}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
