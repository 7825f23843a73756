"""Raw data as people have it: what a file is by its bytes, and what its rows could teach."""
