"""From tissue maps to the image of any protocol, whole or live."""
