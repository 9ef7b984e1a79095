/* linkrate BYTES_PER_SECOND: stdin to stdout at that rate. Unlike a token bucket that fills while nobody sends, it never lets more through
 * than a link of that rate would: idle time earns no credit beyond BURST. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BURST_SECONDS 0.05

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static char buffer[16384];
    double rate = argc == 2 ? atof(argv[1]) : 0, due = now();
    ssize_t got;

    if (rate <= 0) {
        fprintf(stderr, "usage: linkrate BYTES_PER_SECOND\n");
        return 2;
    }
    while ((got = read(0, buffer, sizeof buffer)) > 0) {
        double t = now();
        ssize_t put = 0;

        if (due < t - BURST_SECONDS)
            due = t - BURST_SECONDS;
        due += (double)got / rate;
        if (due > t) {
            struct timespec wait = { (time_t)(due - t), (long)((due - t - (double)(time_t)(due - t)) * 1e9) };
            nanosleep(&wait, NULL);
        }
        while (put < got) {
            ssize_t n = write(1, buffer + put, (size_t)(got - put));

            if (n < 0)
                return 1;
            put += n;
        }
    }
    return 0;
}
