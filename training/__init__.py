"""Makes bundles: builds, trains and calibrates models. Never imported by the service."""
