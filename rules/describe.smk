rule describe:
    input:
        manifest=PATHS["manifest"],
        pictures=PATHS["subset"],
        real=real_shards,
    output:
        **OUTPUTS["describe"],
    log:
        "logs/describe/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        code=code("describe"),
        output=subpath(output.description, parent=True),
    message:
        "describe {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.describe"
        " --code {params.code:q}"
        " --title {wildcards.dataset:q}"
        " --manifest {input.manifest:q}"
        " --pictures {input.pictures:q}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
