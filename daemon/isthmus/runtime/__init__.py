"""How actors live: supervision, doorbells, back-off, the loop's pulse. Nothing about business."""
