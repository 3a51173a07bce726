"""Find videos, read them frame by frame, and read the prompts that say what to follow in them."""
