"""Cloud accounts: what runs there is read, and changed through the same changes as clusters."""
