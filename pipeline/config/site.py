"""Top-level keys of the config about the site, not about results.

They are settings of no job. But a change of `sample_storage` generates pools again, and one of `throughput` makes new estimates.
"""

from pydantic import Field

from pipeline.config.parts import Part


class Site(Part):
    data_root: str | None = None
    """Folder of raw data; by default that of the environment variable COUNTERWEIGHT_DATA, or else `data`."""
    checkpoint_minutes: float = Field(default=10, ge=0)
    """Time between checkpoints of a training, in minutes; a killed training continues from the last one."""
    throughput: str | None = None
    """A .csv table of figures for `cost_<dataset>` instead of measured ones."""
    sample_storage: str | None = None
    """Place of generated pictures instead of results/, for a storage plugin of snakemake; for example `s3://bucket/folder`."""
