"""Event files: records in, records out. `metadata` describes the wire, `codec` has one file for each kind of record."""
