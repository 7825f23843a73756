"""Tasks of lm-evaluation-harness: answered by teachers and student alike, judged at the gate."""
