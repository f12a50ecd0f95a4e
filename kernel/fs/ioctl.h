// ioctl(2) numbers that are not a terminal's.
#pragma once
#define FIONREAD 0x541Bu
#define FIONBIO 0x5421u
#define FIOCLEX 0x5451u
#define FIONCLEX 0x5450u
#define FIOASYNC 0x5452u
