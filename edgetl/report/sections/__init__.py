"""The sections of a report, one file each: facts in, what its template shows out."""
