"""Work that is done after its request has been answered."""
