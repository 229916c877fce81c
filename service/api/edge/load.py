"""The header that tells how full a replica is, and which answers carry it. Knows no route."""

LOAD_HEADER = "X-Fovea-Load"  # 0: nothing waits; 1 and above: whoever comes is refused
_TELLS_LOAD = ("/v1/", "/readyz")


def tells_load(path: str) -> bool:
    """Whether answers of this path carry it: those that a load balancer sees."""
    return path.startswith(_TELLS_LOAD)
