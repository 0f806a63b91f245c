/* A disk that takes five milliseconds for every flush. Built with -nostdlib: no header and no library is needed. */

long syscall(long number, ...);
#ifdef __x86_64__
enum { FSYNC = 74, FDATASYNC = 75, NANOSLEEP = 35 };
#else
enum { FSYNC = 82, FDATASYNC = 83, NANOSLEEP = 101 };
#endif

static int slowly(long number, int file) {
    struct { long seconds, nanoseconds; } pause = {0, 5000000};
    syscall(NANOSLEEP, &pause, 0);
    return (int)syscall(number, file);
}

int fsync(int file) { return slowly(FSYNC, file); }
int fdatasync(int file) { return slowly(FDATASYNC, file); }
