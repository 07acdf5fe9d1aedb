"""The third vertical: one customer over several CRMs, orders and products, live."""
