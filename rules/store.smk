rule store:
    input:
        pictures=PATHS["subset"],
    output:
        **OUTPUTS["store"],
    log:
        "logs/store/{dataset}/{shard}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=settings("store"),
        code=code("store"),
        shard=shard_of("store"),
        raw=lambda wildcards, output: raw_folder(FLOW, wildcards.dataset),
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
        " 2>&1 | logged {log:q}"
