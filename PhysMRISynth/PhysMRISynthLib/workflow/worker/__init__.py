"""Long work in a child process: it keeps the network's weights warm, can be killed, and cannot take Slicer down with it."""
