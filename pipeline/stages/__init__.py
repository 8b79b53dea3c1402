"""One command line for each stage of the workflow."""
