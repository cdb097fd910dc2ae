"""Log directories behind an address, as s3://bucket/run: written locally and shipped, and read through a local copy."""
