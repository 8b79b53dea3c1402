rule quality:
    input:
        manifest=manifest,
        real=real_pictures,
        indices=lambda wildcards: pool_indices(wildcards.dataset, part("qualities", wildcards).samples),
        pictures=lambda wildcards: pool_pictures(wildcards.dataset, part("qualities", wildcards).samples),
        weights=extractor,
        inception=inception,
    output:
        quality="results/{dataset}/quality/{name}/quality.json",
    log:
        "logs/quality/{dataset}/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(part("qualities", wildcards).settings()),
        code=lambda wildcards: fingerprint(
            "quality", *([backbone(part("qualities", wildcards).by)] if part("qualities", wildcards).by else [])
        ),
        weights=lambda wildcards, input: ["--weights", *input.weights] if input.weights else [],
    message:
        "measure the quality {wildcards.name} of generated pictures for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.quality"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --indices {input.indices:q}"
        " {params.weights:q}"
        " --output {output.quality:q}"
        " 2>&1 | tee {log:q}"
