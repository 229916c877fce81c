"""Steps that were paid for already: kept, found again, gone on from."""
