rule evaluate:
    input:
        manifest=manifest,
        real=real_pictures,
        weights="results/{dataset}/classifier/{name}/seed-{seed}/weights.safetensors",
    output:
        predictions="results/{dataset}/evaluate/{name}/seed-{seed}/predictions.parquet",
        per_class="results/{dataset}/evaluate/{name}/seed-{seed}/per_class.csv",
        metrics="results/{dataset}/evaluate/{name}/seed-{seed}/metrics.json",
    log:
        "logs/evaluate/{dataset}/{name}/seed-{seed}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        code=lambda wildcards: fingerprint("evaluate", backbone(wildcards.name)),
        output=subpath(output.metrics, parent=True),
    message:
        "evaluate {wildcards.name} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.evaluate"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --weights {input.weights:q}"
        " --seed {wildcards.seed}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
