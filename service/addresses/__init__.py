"""Which addresses may be connected to, and what names resolve to: for whatever connects at a stranger's word."""
