rule copies:
    input:
        manifest=PATHS["manifest"],
        real=real_shards,
        indices=pool_shards("index", "scores"),
        pictures=pool_shards("pictures", "scores"),
        scores=pool_shards("scores", "scores"),
    output:
        **OUTPUTS["copies"],
    log:
        "logs/copies/{dataset}/{name}.log",
    wildcard_constraints:
        name=one_of(name for name, scores in FLOW.parts["scores"].items() if scores.kind == "copies"),
    conda:
        "../envs/counterweight.yaml"
    params:
        code=code("copies"),
        alike=lambda wildcards: part("scores", wildcards).alike,
        title=lambda wildcards: targets.grid_title(FLOW, wildcards.dataset, part("scores", wildcards).pool),
        output=subpath(output.copies, parent=True),
    message:
        "report near duplicates that {wildcards.name} found for {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.copies"
        " --code {params.code:q}"
        " --alike {params.alike}"
        " --title {params.title:q}"
        " --manifest {input.manifest:q}"
        " --indices {input.indices:q}"
        " --scores {input.scores:q}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
