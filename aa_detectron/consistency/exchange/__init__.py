"""Files: crops and their manifest, predictions of other programs, records."""
