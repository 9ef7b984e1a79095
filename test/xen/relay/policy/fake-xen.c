/* Stands in for libxenguest and libxenctrl: asks the pre-copy policy where the real send_memory_live() does, and says what it heard. */
#include <stdio.h>
#include <stdlib.h>
#include <xenctrl.h>
#include <xenguest.h>

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    const char *version = getenv("FAKE_XEN_VERSION");

    (void)xch, (void)cmd, (void)arg;
    return version ? (int)strtol(version, NULL, 0) : 4 << 16 | 17;
}

static int ask(const char *when, const struct save_callbacks *callbacks, struct precopy_stats stats)
{
    int answer = callbacks->precopy_policy(stats, callbacks->data);

    printf("%s %u %ld %d\n", when, stats.iteration, stats.dirty_count, answer);
    fflush(stdout);
    return answer;
}

/* FAKE_DIRTY: dirty pages at the start of each round; the last is used for all that follow. */
int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags, struct save_callbacks *callbacks,
                   xc_stream_type_t stream_type, int recv_fd)
{
    const char *dirty = getenv("FAKE_DIRTY");
    struct precopy_stats stats = { .dirty_count = 1044480 };

    (void)xch, (void)stream_type, (void)recv_fd;
    printf("save %d %u %u %s\n", io_fd, dom, flags, getenv("LD_PRELOAD") ? "leaked" : "clean");
    if (!callbacks->precopy_policy) {
        printf("stock\n");
        return 0;
    }
    for (unsigned int round = 0; round < 30;) {
        if (ask("before", callbacks, stats) != XGS_POLICY_CONTINUE_PRECOPY)
            return 0;
        stats.iteration = ++round;
        stats.total_written += (unsigned long)stats.dirty_count;
        stats.dirty_count = -1;
        if (ask("after", callbacks, stats) != XGS_POLICY_CONTINUE_PRECOPY)
            return 0;
        if (dirty && *dirty) {
            char *end;
            stats.dirty_count = strtol(dirty, &end, 10);
            dirty = *end ? end + 1 : dirty;
        } else {
            stats.dirty_count = 5000;
        }
    }
    return 0;
}
