rule throughput:
    input:
        pictures=PATHS["subset"],
        foundations=lambda wildcards: costs.foundations(FLOW, wildcards.dataset, main_runs(wildcards)),
    output:
        **OUTPUTS["throughput"],
    log:
        "logs/throughput/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 8  # as many as a training on large pictures, which decodes them meanwhile
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(costs.timed(FLOW, wildcards.dataset, main_runs(wildcards))),
        code=lambda wildcards: fingerprint(
            "stages.throughput",
            *reads.modules(FLOW, "store", dict(wildcards.items())),
            *reported(targets.modules_of, wildcards.dataset),
        ),
        raw=lambda wildcards, output: raw_folder(FLOW, wildcards.dataset),
    message:
        "measure the speed of the stages of {wildcards.dataset} on this hardware"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.throughput"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --raw {params.raw:q}"
        " --pictures {input.pictures:q}"
        " --output {output.throughput:q}"
        " 2>&1 | logged {log:q}"
