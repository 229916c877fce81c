"""What outlives a request: subscriptions, leases, events. A memory twin and a Redis twin that pass the same tests."""
