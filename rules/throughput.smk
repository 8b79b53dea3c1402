rule throughput:
    input:
        pictures="results/{dataset}/subset/pictures.parquet",
    output:
        throughput="results/{dataset}/cost/throughput.csv",
    log:
        "logs/throughput/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 8  # as a training on large pictures has, which are decoded meanwhile
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(costs.timed(FLOW, wildcards.dataset, main_runs(wildcards))),
        code=lambda wildcards: fingerprint("throughput", source_of(wildcards), *kinds_of(main_runs(wildcards))),
        raw=lambda wildcards, output: raw_folder(wildcards.dataset),
    message:
        "measure how fast the stages of {wildcards.dataset} are on this hardware"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.throughput"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --pictures {input.pictures:q}"
        " --output {output.throughput:q}"
        " 2>&1 | tee {log:q}"
