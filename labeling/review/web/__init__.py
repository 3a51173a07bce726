"""The review page's server: a FastAPI application over one queue and one store."""
