"""Training: the LightningModule, its loss, its schedules, and what is seen while it runs."""
