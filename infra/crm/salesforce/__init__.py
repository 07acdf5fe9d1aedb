"""A simulated Salesforce org: OAuth, REST API with SOQL, SOSL, sObjects and composite."""
