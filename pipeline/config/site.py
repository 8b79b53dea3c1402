"""Keys at the top of the config that are about a place and not about a result: no setting of any job, though pools are made anew
where `sample_storage` changes, and estimates where `throughput` does."""

from pydantic import Field

from pipeline.config.parts import Part


class Site(Part):
    data_root: str | None = None
    """Folder of raw data; None is the environment variable COUNTERWEIGHT_DATA, or else `data`."""
    checkpoint_minutes: float = Field(default=10, ge=0)
    """Time between the checkpoints of a training, which a killed one continues from."""
    throughput: str | None = None
    """A table of figures for `cost_<dataset>` instead of measured ones, .csv."""
    sample_storage: str | None = None
    """Where generated pictures are kept instead of in results/: what a storage plugin of snakemake takes, as `s3://bucket/folder`."""
