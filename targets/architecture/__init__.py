"""The shape of the student: its backbone, and the capacity of each adapter."""
