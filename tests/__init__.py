"""The specification of Fovea, as tests: unit (one noun), integration (real parts together), e2e (over real HTTP)."""
