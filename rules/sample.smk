rule sample:
    input:
        unpack(generator_files),
        plan="results/{dataset}/plan/{name}/plan.parquet",
    output:
        pictures=sample_file("{dataset}", "{name}", "{shard}", "tar"),
        index=sample_file("{dataset}", "{name}", "{shard}", "parquet"),
        statistics=sample_file("{dataset}", "{name}", "{shard}", "json"),
    log:
        "logs/sample/{dataset}/{name}/{shard}.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        config=lambda wildcards: as_json(part("samples", wildcards).sampling_settings()),
        code=lambda wildcards: fingerprint("sample", f"generators.{generator_of(wildcards).kind}.sample"),
        kind=lambda wildcards: generator_of(wildcards).kind,
        shard=lambda wildcards: f"{int(wildcards.shard)} of {part('samples', wildcards).shards}",
        generator=subpath(input.generator, parent=True),
    message:
        "make shard {wildcards.shard} of the pool {wildcards.name} for {wildcards.dataset}"
    shell:
        "python -m pipeline.jobs.lease --gpus {resources.gpu} -- python -m pipeline.stages.sample"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --kind {params.kind:q}"
        " --shard {params.shard:q}"
        " --plan {input.plan:q}"
        " --generator {params.generator:q}"
        " --output {output.pictures:q}"
        " 2>&1 | tee {log:q}"
