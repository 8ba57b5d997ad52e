"""docs/evidence.md, its pictures and README's five lines, from the records and nothing else."""
