rule generator:
    input:
        manifest=manifest,
        real=real_pictures,
    output:
        unet="results/{dataset}/generator/{name}/unet/diffusion_pytorch_model.safetensors",
        unet_config="results/{dataset}/generator/{name}/unet/config.json",
        scheduler="results/{dataset}/generator/{name}/scheduler/scheduler_config.json",
        history="results/{dataset}/generator/{name}/history.parquet",
    log:
        "logs/generator/{dataset}/{name}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(part("generators", wildcards).settings()),
        code=lambda wildcards: fingerprint("generator", f"generators.{part('generators', wildcards).kind}.train"),
        checkpoint_minutes=lambda wildcards, output: FLOW.site.checkpoint_minutes,  # with `output`, not tracked
        output=subpath(output.history, parent=True),
    message:
        "train the generator {wildcards.name} on {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.generator"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --manifest {input.manifest:q}"
        " --checkpoint-minutes {params.checkpoint_minutes}"
        " --output {params.output:q}"
        " 2>&1 | tee {log:q}"
