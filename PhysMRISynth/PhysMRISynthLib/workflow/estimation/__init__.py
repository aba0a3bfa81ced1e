"""From images and protocols to tissue maps, and what speaks against them."""
