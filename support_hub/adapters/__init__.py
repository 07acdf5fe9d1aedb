"""One file for each real system; only these import drivers."""
