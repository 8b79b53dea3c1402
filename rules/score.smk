rule score:
    input:
        manifest=manifest,  # but not the real pictures, from which the features are made: thousands of jobs times all shards
        weights=lambda wildcards: weights(wildcards.dataset, *scorer(wildcards)),
        features=lambda wildcards: "results/{}/features/{}/seed-{}/features.safetensors".format(
            wildcards.dataset, *scorer(wildcards)
        ),
        index=lambda wildcards: scored_file(wildcards, "parquet"),
        pictures=lambda wildcards: scored_file(wildcards, "tar"),
    output:
        scores="results/{dataset}/score/{name}/shard-{shard}.parquet",
    log:
        "logs/score/{dataset}/{name}/{shard}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(part("scores", wildcards).settings()),
        code=lambda wildcards: fingerprint(
            "score",
            backbone(scorer(wildcards)[0]),
            *(f"scores.{metric}" for metric in part("scores", wildcards).metrics),
        ),
    message:
        "score shard {wildcards.shard} by {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.score"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --weights {input.weights:q}"
        " --features {input.features:q}"
        " --index {input.index:q}"
        " --output {output.scores:q}"
        " 2>&1 | tee {log:q}"
