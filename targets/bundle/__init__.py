"""The release: one teacher-free folder, its manifest and its report."""
