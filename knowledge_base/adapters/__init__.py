"""One file for each real system behind the ports. Drivers and heavy parsers are imported where they are used."""
