"""What Tracklight is tested with, by its own tests and by users on their own disks."""
