"""A report as one page of HTML, to hand on: no script, nothing from elsewhere."""
