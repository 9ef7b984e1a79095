/* Stands in for libxl-save-helper; linked with policy.c, which comes before libxenguest as a preloaded object does. */
#include <stdlib.h>
#include <xenctrl.h>
#include <xenguest.h>

static int taken(struct precopy_stats stats, void *user)
{
    (void)stats, (void)user;
    return XGS_POLICY_STOP_AND_COPY;
}

int main(void)
{
    struct save_callbacks callbacks = { 0 };

    if (getenv("FAKE_TAKEN"))
        callbacks.precopy_policy = taken;
    return xc_domain_save(NULL, 14, 3, 1, &callbacks, 0, -1);
}
