rule verify:
    log:
        "logs/verify.log",
    conda:
        "../envs/counterweight.yaml"
    threads: 4
    retries: 0
    message:
        "read all results again"
    shell:
        "python -m pipeline.stages.verify"
        " --results results"
        " 2>&1 | tee {log:q}"
