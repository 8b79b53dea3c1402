# One rule for each stage whose jobs were sent to this node.

for stage in sorted({job["rule"] for job in SENT}):
    job = of_stage(stage)[0]

    rule:
        name:
            stage
        input:
            unpack(sent_inputs(stage)),
        output:
            **outputs(stage, job["store"]),
        log:
            job["log"],
        wildcard_constraints:
            **{name: one_of({each["wildcards"][name] for each in of_stage(stage)}) for name in job["wildcards"]},
        conda:
            "../envs/counterweight.yaml"
        threads: job["threads"]
        resources:
            **job["resources"],
        params:
            **sent_params(stage),
        shell:
            job["shell"]
