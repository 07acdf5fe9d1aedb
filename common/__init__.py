"""The shared base of the suite. It knows no vertical."""
