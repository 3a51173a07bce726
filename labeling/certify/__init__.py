"""What is promised of accepted masklets, and kept: a random audit, exact bounds, certificates, the alarm between them."""
