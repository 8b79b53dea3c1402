rule subset:
    output:
        manifest="results/{dataset}/subset/manifest.parquet",
        train="results/{dataset}/subset/real/train.tar",
        test="results/{dataset}/subset/real/test.tar",
        rest="results/{dataset}/subset/real/rest.tar",
    log:
        "logs/subset/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(FLOW.part("datasets", wildcards.dataset).settings()),
        code=lambda wildcards: fingerprint("subset", f"data.{FLOW.part('datasets', wildcards.dataset).source}"),
        data_root=lambda wildcards, output: DATA_ROOT,  # with `output`, a place that is not tracked: moving raw data remakes nothing
        output=subpath(output.manifest, parent=True),
    message:
        "draw the subset {wildcards.dataset} from the raw data"
    shell:
        "python -m pipeline.stages.subset"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --data-root {params.data_root:q}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
