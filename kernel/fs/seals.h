// Seals of memfd files (fcntl(2)), kept in inode->seals.
#pragma once
enum { SEAL_SEAL = 1, SEAL_SHRINK = 2, SEAL_GROW = 4, SEAL_WRITE = 8, SEAL_FUTURE_WRITE = 16 };
