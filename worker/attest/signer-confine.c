/* What the signer process gives up, step by step. A step that fails ends it: it never serves less confined.
 */
#include "worker/attest/signer-wire.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define DOING "confining the signer"
#define SECURE_HEAP_BYTES 32768 /* below the smallest usual RLIMIT_MEMLOCK, 64 KiB */
#define SECURE_HEAP_MIN 32

int signer_confine_memory(struct kiln_error *err)
{
        static const struct rlimit none = {0, 0};

        if (setrlimit(RLIMIT_CORE, &none) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "cannot switch off core dumps");
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "prctl failed");
        /* OpenSSL keeps Ed25519 private keys on this heap: guard pages, MADV_DONTDUMP, mlock(2). 1: all of
         * it. */
        if (CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, SECURE_HEAP_MIN) != 1) {
                kiln_error_set(err, KILN_REFUSED, 0, DOING, NULL,
                        "cannot lock %d bytes of memory for the keys", SECURE_HEAP_BYTES);
                kiln_error_advise(err, "Raise the limit on locked memory (ulimit -l) to 64 KiB.");
                return -ENOMEM;
        }
        return 0;
}

int signer_confine_user(struct kiln_error *err)
{
        const struct passwd *pw;
        uid_t uid = KILN_SIGNER_UID;
        gid_t gid = KILN_SIGNER_UID;

        if (geteuid() != 0)
                return 0;
        pw = getpwnam(KILN_SIGNER_USER);
        if (pw && pw->pw_uid != 0) {
                uid = pw->pw_uid;
                gid = pw->pw_gid;
        }
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "cannot become user %u", uid);
        /* The kernel sets this from fs.suid_dumpable when ids change (prctl(2)). */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "prctl failed");
        return 0;
}

/* Everything else: EPERM. What could carry a key away or start something is killed for trying. */
static const int allowed_calls[] = {SCMP_SYS(accept4), SCMP_SYS(brk), SCMP_SYS(clock_gettime),
        SCMP_SYS(close), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(fcntl), SCMP_SYS(fstat),
        SCMP_SYS(futex), SCMP_SYS(getpid), SCMP_SYS(getrandom), SCMP_SYS(getsockopt), SCMP_SYS(gettid),
        SCMP_SYS(lseek), SCMP_SYS(madvise), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap),
        SCMP_SYS(munmap), SCMP_SYS(newfstatat), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64),
        SCMP_SYS(read), SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_yield), SCMP_SYS(sendmsg),
        SCMP_SYS(sigaltstack), /* AddressSanitizer asks for it before every function that does not return */
        SCMP_SYS(write)};

static const int deadly_calls[] = {SCMP_SYS(connect), SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork),
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(ptrace), SCMP_SYS(socket),
        SCMP_SYS(vfork)};

int signer_confine_calls(struct kiln_error *err)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r = filter ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(allowed_calls); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(deadly_calls); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly_calls[i], 0);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, DOING, NULL, "cannot set the system call filter");
        return 0;
}
