"""Simulated Salesforce, HubSpot and Zendesk servers for the demo and the tests; no part of the platforms themselves."""
