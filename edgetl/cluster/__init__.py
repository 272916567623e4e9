"""Work sent to a cluster: who does it, with how many cores, and what becomes of it when one of them dies."""
