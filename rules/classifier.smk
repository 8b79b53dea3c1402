rule classifier:
    input:
        unpack(inputs("classifier")),
        manifest=PATHS["manifest"],
        real=real_shards,
    output:
        **OUTPUTS["classifier"],
    log:
        "logs/classifier/{dataset}/{name}/seed-{seed}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["classifiers"]),
    conda:
        "../envs/counterweight.yaml"
    threads: lambda wildcards: part("classifiers", wildcards).cores
    resources:
        gpu=lambda wildcards: part("classifiers", wildcards).gpus,
        nodes=1,  # otherwise Slurm takes several GPUs from several nodes
    params:
        config=settings("classifier"),
        code=code("classifier"),
        launcher=lambda wildcards: part("classifiers", wildcards).launcher,
        inputs=flags("classifier"),
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
        output=subpath(output.weights, parent=True),
    message:
        "train the classifier {wildcards.name} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- {params.launcher} -m pipeline.stages.classifier"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " {params.inputs:q}"
        " --seed {wildcards.seed}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
