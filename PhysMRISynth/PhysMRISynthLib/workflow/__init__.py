"""The whole workflow from acquisitions to maps to images; the panel, the console and the command line are thin skins over it."""
