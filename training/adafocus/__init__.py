"""How AdaFocusV3 is trained, as far as that is its own."""
