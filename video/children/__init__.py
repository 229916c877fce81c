"""The processes that decode, and what is said between them and the service."""
