"""What a person reads of a study: tables from the rows of the record, the same bytes for the same rows."""
