rule classifier:
    input:
        manifest=manifest,
        real=real_pictures,
        selected=lambda wildcards: selected(wildcards.dataset, [name for name, _ in FLOW.pools(wildcards.name)]),
        generated=generated_pictures,
        steps_as=lambda wildcards: selected(wildcards.dataset, part("classifiers", wildcards).steps_as),
        init=first_stage,
        pretrained=pretrained,
    output:
        weights="results/{dataset}/classifier/{name}/seed-{seed}/weights.safetensors",
        history="results/{dataset}/classifier/{name}/seed-{seed}/history.parquet",
    log:
        "logs/classifier/{dataset}/{name}/seed-{seed}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: decoders
    resources:
        gpu=lambda wildcards: part("classifiers", wildcards).gpus,
        nodes=1,  # else Slurm takes several GPUs from several nodes
    params:
        config=lambda wildcards: as_json(part("classifiers", wildcards).settings()),
        code=lambda wildcards: fingerprint(
            "classifier",
            backbone(wildcards.name),
            f"classifiers.schemes.{part('classifiers', wildcards).scheme}",
            *loss(wildcards),
        ),
        launcher=lambda wildcards: launcher(part("classifiers", wildcards).gpus),
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
        output=subpath(output.weights, parent=True),
        init=lambda wildcards, input: ["--init", *input.init] if input.init else [],
    message:
        "train the classifier {wildcards.name} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- {params.launcher} -m pipeline.stages.classifier"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --selected {input.selected:q}"
        " --steps-as {input.steps_as:q}"
        " {params.init:q}"
        " --seed {wildcards.seed}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
