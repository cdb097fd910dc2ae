"""Writing records to event files, and reading them back.

`metadata` describes the format, `codec` has one file for each kind of record, `writer` writes and `reader` reads.
"""
