"""Reports: tables and figures of evaluations, prunings and trainings."""
