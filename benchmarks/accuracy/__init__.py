"""Does DO-Conv help? Studies whose every run is a record, and the pages made from the records."""
