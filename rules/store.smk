rule store:
    input:
        pictures="results/{dataset}/subset/pictures.parquet",
    output:
        real="results/{dataset}/subset/real/shard-{shard}.tar",
        index="results/{dataset}/subset/real/shard-{shard}.parquet",
        rejected="results/{dataset}/subset/real/shard-{shard}.rejected.parquet",
    log:
        "logs/store/{dataset}/{shard}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(FLOW.part("datasets", wildcards.dataset).storing_settings()),
        code=lambda wildcards: fingerprint("store", source_of(wildcards)),
        shard=lambda wildcards: f"{int(wildcards.shard)} of {FLOW.part('datasets', wildcards.dataset).shards}",
        raw=lambda wildcards, output: raw_folder(wildcards.dataset),
    message:
        "store shard {wildcards.shard} of the real pictures of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.store"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --shard {params.shard:q}"
        " --pictures {input.pictures:q}"
        " --output {output.real:q}"
        " 2>&1 | tee {log:q}"
