"""Who may ask for what, and how much: keys, their limits, what they have used."""
