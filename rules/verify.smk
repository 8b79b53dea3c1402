rule verify:
    log:
        "logs/verify.log",
    retries: 0
    conda:
        "../envs/counterweight.yaml"
    threads: 4
    params:
        planned=PLANNED,
    message:
        "read all results again"
    shell:
        "python -m pipeline.stages.verify --results results --planned {params.planned:q} 2>&1 | logged {log:q}"
