"""Studies: runs that answer one question together, as data; what there is of them, what they cost, what they say."""
