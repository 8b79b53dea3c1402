rule summary:
    input:
        results=lambda wildcards: reported(targets.summary_files, wildcards.dataset),
        foundations=lambda wildcards: targets.trained_foundations(FLOW, main_runs(wildcards)),
    output:
        **OUTPUTS["summary"],
    log:
        "logs/summary/{dataset}.log",
    conda:
        "../envs/counterweight.yaml"
    params:
        config=lambda wildcards: as_json(reported(targets.summary_settings, wildcards.dataset)),
        code=lambda wildcards: fingerprint("stages.summary"),
        output=subpath(output.summary, parent=True),
    message:
        "gather the results of {wildcards.dataset}"
    shell:
        "python -m pipeline.stages.summary"
        " --config {params.config:q}"
        " --code {params.code:q}"
        " --foundations {input.foundations:q}"
        " --output {params.output:q}"
        " 2>&1 | logged {log:q}"
