"""A simulated HubSpot CRM (objects v3, associations v3 and v4)."""
