"""The command ``tracklight``: one short file for each group of commands."""
