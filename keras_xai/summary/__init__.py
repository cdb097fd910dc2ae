"""Event files: records in, records out. `metadata` alone knows the wire."""
