"""What is measured, a row of the table each."""
