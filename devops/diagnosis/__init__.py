"""Why is a workload not healthy? `gather` collects the facts in one go, `rules` says what they mean."""
