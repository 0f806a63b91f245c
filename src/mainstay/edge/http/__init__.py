"""HTTP/1.1 as it is taken from strangers: strict, bounded, framed anew."""
