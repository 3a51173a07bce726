"""Ship what was labelled: the run's report and the formats that other tools read."""
