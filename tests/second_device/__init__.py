"""A device that is not the CPU, for machines that have none: what a GPU would refuse, it refuses."""
