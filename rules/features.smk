rule features:
    input:
        manifest=manifest,
        real=real_pictures,
        weights=lambda wildcards: weights(wildcards.dataset, wildcards.name, wildcards.seed),
    output:
        features="results/{dataset}/features/{name}/seed-{seed}/features.safetensors",
    log:
        "logs/features/{dataset}/{name}/seed-{seed}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        code=lambda wildcards: fingerprint("features", backbone(wildcards.name)),
    message:
        "features of the real pictures of {wildcards.dataset} under {wildcards.name}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.features"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --weights {input.weights:q}"
        " --output {output.features:q}"
        " 2>&1 | tee {log:q}"
