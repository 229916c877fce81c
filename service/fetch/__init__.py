"""Videos that are somewhere else: fetched by the service, at its own conditions."""
