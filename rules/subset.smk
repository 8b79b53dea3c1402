rule subset:
    input:
        warned_of_raw,
    output:
        pictures="results/{dataset}/subset/pictures.parquet",
    log:
        "logs/subset/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(FLOW.part("datasets", wildcards.dataset).settings()),
        code=lambda wildcards: fingerprint("subset", source_of(wildcards)),
        raw=lambda wildcards, output: raw_folder(wildcards.dataset),  # with `output`, a place that is not tracked: moving raw data remakes nothing
    message:
        "choose the pictures of {wildcards.dataset} from the raw data"
    shell:
        "python -m pipeline.stages.subset"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --output {output.pictures:q}"
        " 2>&1 | tee {log:q}"
