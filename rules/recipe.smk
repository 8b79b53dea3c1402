use rule summary as recipe with:
    input:
        results=lambda wildcards: targets.result_files(recipe_runs(wildcards)),
        foundations=lambda wildcards: targets.trained_foundations(FLOW, recipe_runs(wildcards)),
    output:
        **OUTPUTS["recipe"],
    log:
        "logs/recipe/{dataset}/{recipe}.log",
    params:
        config=lambda wildcards: as_json(targets.runs_settings(FLOW, recipe_runs(wildcards))),
        code=lambda wildcards: fingerprint("stages.summary"),
        output=subpath(output.recipe_summary, parent=True),
    message:
        "gather the results of {wildcards.recipe} on {wildcards.dataset}"
