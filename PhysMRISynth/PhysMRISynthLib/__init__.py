"""PhysMRISynth: tissue maps (PD, T1, T2) from ordinary MR images, and any contrast from tissue maps.

Layers, imports pointing downwards only: ``workflow`` → ``fitting``, ``imaging`` → ``physics``; ``training`` beside ``workflow``.
"""

__version__ = "0.1.0"
