"""The algorithms, a file for each as in FoXAI."""
