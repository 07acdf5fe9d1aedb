"""A simulated cluster: real manifests, small deterministic controllers, no containers.

It stands in for a Kubernetes API in the embedded profile, in demo and tests; every answer says that it is simulated.

For whoever changes it: `SimulatedCluster` has `create`, `replace`, `patch`, `apply`, `delete` and `evict` beside what
reading needs. They keep the API's promises: uid, resourceVersion as precondition (Conflict), generation, dry run
(nothing is kept), owner references with cascading deletion, quotas, disruption budgets. The whole state is one row of
`devops/simulated.db` in the data folder and every write one transaction, so server, worker and a process started after
a crash see the same cluster. After each write the controllers run until nothing changes any more: a rollout that can
succeed has succeeded when the call returns.
"""
