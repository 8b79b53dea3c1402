"""The typed, closed config: `workflow.Workflow` turns the mapping that Snakemake read into parts and runs.

Imports nothing heavy, because every snakemake call reads it.
"""
