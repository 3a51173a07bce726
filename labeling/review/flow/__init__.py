"""How items come into the queue, are found, held and decided."""
