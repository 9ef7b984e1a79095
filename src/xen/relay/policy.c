/*
 * Supplies libxenguest's pre-copy policy on unmodified Xen.
 *
 * Preloaded by the relay into libxl's save helper, and into nothing else. The helper calls xc_domain_save() with callbacks that leave
 * `precopy_policy` unset, so that libxenguest uses its own: stop after five rounds, or when fewer than 50 pages are dirty. This object
 * stands in front of xc_domain_save(), sets the callback, and asks the relay at each call, over an inherited socket with messages of
 * fixed size (policy-wire.ts has the same).
 *
 *   relay answers in time ......... its answer
 *   anything else, from then on ... exactly libxenguest's own policy
 *
 * libxenguest asks twice a round. Before sending it, dirty_count is what it is about to send; an answer of "stop" still sends that
 * round live. After sending it, dirty_count is -1; "stop" suspends at once. `struct precopy_stats` is passed by value and its layout
 * differs between releases: the object leaves everything alone unless hypervisor and libxenguest are of the release it was built for.
 *
 * Nothing is allocated, and every wait is bounded by CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>

#if !defined(XTHROTTLE_XEN_MAJOR) || !defined(XTHROTTLE_XEN_MINOR)
#error "build with npm run build:policy, which says for which Xen"
#endif

#define MAGIC 0x78746870u /* "xthp" */
#define PROTOCOL 1
#define KIND_HELLO 0
#define KIND_QUERY 1
/* The relay gives up on its server after at most 4 s; whoever is silent for longer has stopped. */
#ifndef ANSWER_WAIT_MS
#define ANSWER_WAIT_MS 5000
#endif

/* Why stock's policy is left in place. */
#define ACTIVE 0
#define OTHER_HYPERVISOR 1
#define OTHER_LIBRARY 2
#define POLICY_TAKEN 3

struct request {
    uint32_t magic;
    uint16_t protocol;
    uint16_t kind;
    uint32_t id;
    uint32_t iteration; /* of a hello: the refusal, 0 for none */
    uint64_t total_written;
    int64_t dirty_count;
    uint64_t reserved;
};

struct reply {
    uint32_t magic;
    uint16_t protocol;
    uint16_t reserved;
    uint32_t id;
    int32_t answer;
};

_Static_assert(sizeof(struct request) == 40, "as in policy-wire.ts");
_Static_assert(sizeof(struct reply) == 16, "as in policy-wire.ts");

typedef int (*save_fn)(xc_interface *, int, uint32_t, uint32_t, struct save_callbacks *, xc_stream_type_t, int);
typedef int (*version_fn)(xc_interface *, int, void *);

/* The socket to the relay; -1 once it is not to be trusted any more. */
static int relay_fd = -1;
static uint32_t last_id;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void forsake_relay(void)
{
    if (relay_fd >= 0)
        close(relay_fd);
    relay_fd = -1;
}

/* Waits until the socket is ready for `events`: 1, or 0 when the time is over or the socket is broken. */
static int wait_for(short events, int64_t deadline)
{
    for (;;) {
        struct pollfd ready = { .fd = relay_fd, .events = events };
        int64_t left = deadline - now_ms();
        int n = left <= 0 ? 0 : poll(&ready, 1, (int)left);

        if (n > 0)
            return (ready.revents & events) != 0;
        /* SIGTERM must not end the wait: the helper cleans up at its next write. */
        if (n == 0 || errno != EINTR)
            return 0;
    }
}

/* Sends (POLLOUT) or receives (POLLIN) all of `size` bytes: 1, or 0 when that fails before `deadline`. */
static int transfer(short events, void *buffer, size_t size, int64_t deadline)
{
    char *at = buffer;

    while (size > 0) {
        ssize_t n;

        if (!wait_for(events, deadline))
            return 0;
        n = events == POLLIN ? recv(relay_fd, at, size, MSG_DONTWAIT) : send(relay_fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            return 0;
        }
    }
    return 1;
}

/* libxenguest's simple_precopy_policy(). */
static int stock_policy(const struct precopy_stats *stats)
{
    return (stats->dirty_count >= 0 && stats->dirty_count < 50) || stats->iteration >= 5 ? XGS_POLICY_STOP_AND_COPY
                                                                                       : XGS_POLICY_CONTINUE_PRECOPY;
}

/* 1 and the relay's answer, or 0. */
static int ask_relay(const struct precopy_stats *stats, int *answer)
{
    struct request request = {
        .magic = MAGIC,
        .protocol = PROTOCOL,
        .kind = KIND_QUERY,
        .id = ++last_id,
        .iteration = stats->iteration,
        .total_written = (uint64_t)stats->total_written,
        .dirty_count = stats->dirty_count,
    };
    struct reply reply;
    int64_t deadline = now_ms() + ANSWER_WAIT_MS;

    if (!transfer(POLLOUT, &request, sizeof(request), deadline) || !transfer(POLLIN, &reply, sizeof(reply), deadline))
        return 0;
    if (reply.magic != MAGIC || reply.protocol != PROTOCOL || reply.id != request.id)
        return 0;
    if (reply.answer != XGS_POLICY_CONTINUE_PRECOPY && reply.answer != XGS_POLICY_STOP_AND_COPY && reply.answer != XGS_POLICY_ABORT)
        return 0;
    *answer = reply.answer;
    return 1;
}

static int asking_policy(struct precopy_stats stats, void *user)
{
    int saved = errno;
    int answer = XGS_POLICY_CONTINUE_PRECOPY;

    (void)user;
    if (relay_fd < 0 || !ask_relay(&stats, &answer)) {
        forsake_relay();
        answer = stock_policy(&stats);
    }
    errno = saved;
    return answer;
}

/* The descriptor that the relay named; -1 unless it is a socket. */
static int inherited_fd(void)
{
    const char *text = getenv("XTHROTTLE_POLICY_FD");
    char *end = NULL;
    long fd = text && *text ? strtol(text, &end, 10) : -1;
    int type = 0;
    socklen_t size = sizeof(type);

    if (fd <= 2 || fd > INT32_MAX || *end != '\0')
        return -1;
    return getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM ? (int)fd : -1;
}

/* libxenguest carries its release in its file's name: libxenguest.so.4.17 or libxenguest.so.4.17.0. */
static int is_our_release(const char *file)
{
    static const char release[] = "libxenguest.so." XTHROTTLE_XEN_MAJOR "." XTHROTTLE_XEN_MINOR;
    const char *slash = file ? strrchr(file, '/') : NULL;
    const char *name = slash ? slash + 1 : file;
    size_t size = sizeof(release) - 1;

    return name && strncmp(name, release, size) == 0 && (name[size] == '\0' || name[size] == '.');
}

static uint32_t refusal(xc_interface *xch, const void *save, const struct save_callbacks *callbacks)
{
    version_fn version;
    int running;
    Dl_info library;

    *(void **)&version = dlsym(RTLD_DEFAULT, "xc_version");
    running = version ? version(xch, XENVER_version, NULL) : -1;
    if (running != (atoi(XTHROTTLE_XEN_MAJOR) << 16 | atoi(XTHROTTLE_XEN_MINOR)))
        return OTHER_HYPERVISOR;
    if (dladdr(save, &library) == 0 || !is_our_release(library.dli_fname))
        return OTHER_LIBRARY;
    return callbacks->precopy_policy ? POLICY_TAKEN : ACTIVE;
}

int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags, struct save_callbacks *callbacks,
                   xc_stream_type_t stream_type, int recv_fd)
{
    void *found = dlsym(RTLD_NEXT, "xc_domain_save");
    save_fn save;
    struct request hello = { .magic = MAGIC, .protocol = PROTOCOL, .kind = KIND_HELLO };

    if (!found) {
        errno = ENOSYS;
        return -1;
    }
    *(void **)&save = found;
    relay_fd = inherited_fd();
    /* Nothing that the helper may start inherits us. */
    unsetenv("LD_PRELOAD");
    if (relay_fd >= 0) {
        hello.iteration = refusal(xch, found, callbacks);
        if (!transfer(POLLOUT, &hello, sizeof(hello), now_ms() + ANSWER_WAIT_MS) || hello.iteration != ACTIVE)
            forsake_relay();
    }
    if (relay_fd >= 0)
        callbacks->precopy_policy = asking_policy;
    return save(xch, io_fd, dom, flags, callbacks, stream_type, recv_fd);
}
