"""What training needs of a teacher, compressed: after it, the teacher can go."""
