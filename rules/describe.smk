rule describe:
    input:
        manifest=manifest,
        real=real_pictures,
    output:
        summary="results/{dataset}/describe/summary.md",
        classes="results/{dataset}/describe/classes.csv",
        groups="results/{dataset}/describe/groups.csv",
        plot="results/{dataset}/describe/long_tail.png",
        pictures="results/{dataset}/describe/pictures.png",
    log:
        "logs/describe/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        code=fingerprint("describe"),
        output=subpath(output.summary, parent=True),
    message:
        "describe {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.describe"
        " --code {params.code:q}"
        " --title {wildcards.dataset:q}"
        " --manifest {input.manifest:q}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
