"""`/v1/jobs`, and requests that become one."""
