"""Labels of other tools: one module a format reads boxes, masks, categories and identities into the same records."""
