"""Files that outlive a request: uploads that wait, and large results."""
