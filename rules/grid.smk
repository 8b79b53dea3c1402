rule grid:
    input:
        manifest=manifest,
        real=real_pictures,
        indices=lambda wildcards: pool_indices(wildcards.dataset, wildcards.name),
        pictures=lambda wildcards: pool_pictures(wildcards.dataset, wildcards.name),
    output:
        grid="results/{dataset}/grid/{name}.png",
    log:
        "logs/grid/{dataset}/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        code=fingerprint("grid"),
        title="{dataset}, pool {name}",
    message:
        "draw real beside generated pictures of {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.grid"
        " --code {params.code:q}"
        " --title {params.title:q}"
        " --manifest {input.manifest:q}"
        " --indices {input.indices:q}"
        " --output {output.grid:q}"
        " 2>&1 | tee {log:q}"
