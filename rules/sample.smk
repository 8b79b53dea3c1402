rule sample:
    input:
        unpack(inputs("sample")),
        plan=PATHS["plan"],
    output:
        **outputs("sample", FLOW.site.sample_storage),
    log:
        "logs/sample/{dataset}/{name}/{shard}.log",
    wildcard_constraints:
        name=one_of(FLOW.parts["pools"]),
        dataset=of_sources(*FLOW.parts["datasets"]),
    conda:
        "../envs/counterweight.yaml"
    resources:
        gpu=1,
    params:
        config=settings("sample"),
        code=code("sample"),
        inputs=flags("sample"),
        shard=shard_of("sample"),
    message:
        "generate shard {wildcards.shard} of the pool {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.sample"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --shard {params.shard:q}"
        " --plan {input.plan:q}"
        " {params.inputs:q}"
        " --output {output.pictures:q}"
        " 2>&1 | logged {log:q}"
