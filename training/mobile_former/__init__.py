"""How a Video Mobile-Former is trained, as far as that is its own."""
