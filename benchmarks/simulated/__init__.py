"""The service in simulated time, from costs that were measured."""
