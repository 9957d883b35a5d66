"""The double's pods: machines that are placed, pull an image, run a container, cost money by the second, and end."""
