"""The customers, tickets, orders and products of the demo company, generated from small lists."""
