rule subset:
    input:
        warned_of_raw_data,
    output:
        **OUTPUTS["subset"],
    log:
        "logs/subset/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("subset"),
        code=code("subset"),
        raw=lambda wildcards, output: raw_folder(FLOW, wildcards.dataset),  # with `output`, not tracked: moving raw data remakes nothing
    message:
        "choose the pictures of {wildcards.dataset} from the raw data"
    shell:
        "python -m pipeline.stages.subset"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --output {output.subset:q}"
        " 2>&1 | logged {log:q}"
