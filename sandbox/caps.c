/* Capabilities, all of them relative to the sandbox's user namespaces: nothing here ever holds one on the
 * host. */
#include "sandbox/caps.h"
#include "sandbox/util.h"

#include <linux/securebits.h>
#include <sys/capability.h>
#include <sys/prctl.h>

/* For a package manager: own files, set modes, set-id bits and file capabilities, switch users in scriptlets,
 * chroot. Not: SYS_ADMIN (mounts), NET_ADMIN, SYS_PTRACE, DAC_READ_SEARCH (file handles), SETPCAP,
 * SYS_RESOURCE. MKNOD makes only FIFOs and sockets in a user namespace. */
const int caps_install[] = {
        CAP_CHOWN,
        CAP_DAC_OVERRIDE,
        CAP_FOWNER,
        CAP_FSETID,
        CAP_KILL,
        CAP_SETGID,
        CAP_SETUID,
        CAP_NET_BIND_SERVICE,
        CAP_SYS_CHROOT,
        CAP_MKNOD,
        CAP_SETFCAP,
};
const size_t n_caps_install = SANDBOX_COUNT(caps_install);

static bool kept(int cap, const int *keep, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (keep[i] == cap)
                        return true;
        return false;
}

int caps_bound(const int *keep, size_t n)
{
        /* cap_max_bits() is what this kernel has, which may be more than this file's headers know */
        for (int cap = 0; cap < cap_max_bits(); cap++)
                if (!kept(cap, keep, n) && cap_drop_bound((cap_value_t)cap) < 0)
                        return -1;
        return 0;
}

int caps_reduce(const int *keep, size_t n)
{
        cap_t caps = cap_init(); /* all sets empty */
        int r = -1;

        if (!caps)
                return -1;
        if ((n == 0 || (cap_set_flag(caps, CAP_PERMITTED, (int)n, keep, CAP_SET) == 0 &&
                               cap_set_flag(caps, CAP_EFFECTIVE, (int)n, keep, CAP_SET) == 0)) &&
                cap_set_proc(caps) == 0)
                r = 0;
        int e = errno;
        cap_free(caps);
        errno = e;
        return r;
}

int caps_set(const int *keep, size_t n)
{
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -1;
        /* needs SETPCAP, so before the sets are emptied; inherited by all that follows, and locked */
        if (n == 0 && cap_set_secbits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                      SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) < 0)
                return -1;
        return caps_reduce(keep, n);
}
