"""What is done with versions of a dataset: cards, differences, packing, going back, removing, checking."""
