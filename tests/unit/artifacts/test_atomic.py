"""Files appear with the permissions of any other new file."""

import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.artifacts.atomic import replacing, replacing_files


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_weights(tmp_path, mask, mode):
    """safetensors makes files that only their owner can read."""
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "alone.safetensors") as part:
            save_file({"weight": np.zeros(3)}, part)
        with replacing_files(tmp_path / "folder") as folder:
            save_file({"weight": np.zeros(3)}, folder / "beside.safetensors")
    finally:
        os.umask(before)
    for name in ("alone.safetensors", "folder/beside.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode, name
