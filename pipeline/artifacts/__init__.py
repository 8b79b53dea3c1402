"""Files on disk: shards, pictures, atomic writing, digests and seals, damage, repair."""
