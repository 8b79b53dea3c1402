rule verify:
    log:
        "logs/verify.log",
    retries: 0
    conda:
        "../envs/counterweight.yaml"
    threads: 4
    message:
        "read all results again"
    shell:
        "python -m pipeline.stages.verify --results results 2>&1 | logged {log:q}"
