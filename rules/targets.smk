# The names that people type: what is made of a family, a recipe, a data set or a published table.

for family in sorted({FLOW.family(dataset) for dataset in FLOW.parts["datasets"]}):

    rule:
        name:
            f"all_{family}"
        default_target: family == "demo"
        input:
            lambda wildcards, family=family: reported(targets.family_targets, family),
        localrule: True


for recipe in FLOW.parts["recipes"]:

    rule:
        name:
            f"recipe_{recipe}"
        input:
            lambda wildcards, recipe=recipe: targets.recipe_targets(FLOW, recipe),
        localrule: True


for dataset in [name for name in FLOW.parts["datasets"] if "~" not in name]:

    rule:
        name:
            f"describe_{dataset}"
        input:
            PATHS["description"].format(dataset=dataset),
        localrule: True


for dataset in sorted({run.dataset for runs in FLOW.families().values() for run in runs if "~" not in run.dataset}):

    rule:
        name:
            f"cost_{dataset}"
        input:
            PATHS["cost_page"].format(dataset=dataset),
        localrule: True


for table, file in TABLES.items():
    is_figure = file.stem.startswith("figure_")

    rule:
        name:
            f"figure_{table.replace('_figure_', '_')}" if is_figure else f"table_{table}"
        input:
            PATHS["figure" if is_figure else "table_page"].format(table=table),
        localrule: True


for table in TIMES:

    rule:
        name:
            f"table_{table}"
        input:
            PATHS["times_page"].format(table=table),
        localrule: True


for comparison, entry in FLOW.parts["comparisons"].items():
    if comparison in {table.replace("_figure_", "_") for table in (*TABLES, *TIMES)}:
        sys.exit(f"error: comparisons.{comparison}: a table or a figure of a paper has this name; give another one")

    rule:
        name:
            f"figure_{comparison}"
        input:
            expand(PATHS["comparison"], dataset=entry.datasets, name=comparison),
        localrule: True
