"""Studies as Hydra files: `vitladder train -m +sweep=NAME`."""
