#include "worker/attest/signer.h"

#include "worker/attest/dsse.h"
#include "worker/attest/signer-wire.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SPAWNED_FD 3

struct kiln_signer {
        int fd;
        pid_t pid; /* 0: a served one */
        int cancel_fd;
        struct kiln_public_keys public;
        unsigned char *data; /* of the last reply */
        size_t len;
};

void kiln_signer_free(struct kiln_signer *s)
{
        if (!s)
                return;
        if (s->fd >= 0)
                close(s->fd);
        if (s->pid > 0)
                while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        kiln_public_keys_clear(&s->public);
        free(s->data);
        free(s);
}

const struct kiln_public_keys *kiln_signer_public(const struct kiln_signer *s)
{
        return &s->public;
}

static int gone(struct kiln_error *err, int errnum)
{
        kiln_error_set(err, KILN_INFRA, errnum, "talking to", "the signer", "it does not answer");
        kiln_error_advise(err, "Look at what `kiln signer` printed, or at the system's log.");
        return errnum ? -errnum : -ECONNRESET;
}

/* The n-th NUL-terminated string from `at` on; NULL: the data ends before. */
static const char *next_string(const struct kiln_signer *s, size_t *at)
{
        const char *text = (const char *)s->data + *at;
        const char *end = *at < s->len ? memchr(text, '\0', s->len - *at) : NULL;

        if (!end)
                return NULL;
        *at += (size_t)(end - text) + 1;
        return text;
}

static int take_error(const struct kiln_signer *s, uint32_t verdict, struct kiln_error *err)
{
        const char *doing, *subject, *cause, *advice;
        size_t at = sizeof(int32_t);
        int32_t errnum;

        doing = next_string(s, &at);
        subject = next_string(s, &at);
        cause = next_string(s, &at);
        advice = next_string(s, &at);
        if (!advice || verdict > KILN_CANCELLED)
                return gone(err, EPROTO);
        memcpy(&errnum, s->data, sizeof(errnum));
        if (errnum < 0 || errnum > 4095)
                errnum = EIO;
        /* The cause has strerror()'s words already. */
        kiln_error_set(err, (enum kiln_verdict)verdict, 0, doing, *subject ? subject : NULL, "%s", cause);
        if (*advice)
                kiln_error_advise(err, "%s", advice);
        return errnum ? -errnum : -EPERM;
}

static int wait_for(const struct kiln_signer *s, struct kiln_error *err)
{
        struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->cancel_fd, .events = POLLIN}};

        while (poll(p, 2, -1) < 0)
                if (errno != EINTR)
                        return gone(err, errno);
        if (p[1].revents && !p[0].revents) {
                kiln_error_set(err, KILN_CANCELLED, 0, "signing", NULL, "cancelled");
                return -ECANCELED;
        }
        return 0;
}

/* Sends a request (fd -1: without one) and leaves a good reply's data in s->data. */
static int ask(struct kiln_signer *s, enum signer_op op, int fd, const struct kiln_digest *sha256,
        int64_t time_s, struct kiln_error *err)
{
        struct signer_request q = {.magic = SIGNER_MAGIC, .op = op, .time_s = time_s};
        struct signer_reply head;
        struct iovec iov[2] = {{&q, sizeof(q)}};
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};
        ssize_t n;
        int r;

        if (sha256)
                q.sha256 = *sha256;
        if (fd >= 0) {
                struct cmsghdr *h;

                msg.msg_control = &control;
                msg.msg_controllen = sizeof(control);
                h = CMSG_FIRSTHDR(&msg);
                *h = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
                memcpy(CMSG_DATA(h), &fd, sizeof(int));
        }
        while ((n = sendmsg(s->fd, &msg, MSG_NOSIGNAL)) < 0 && errno == EINTR)
                ;
        /* EPIPE: it ended; it may have said why before. */
        if (n < 0 && errno != EPIPE)
                return gone(err, errno);
        r = wait_for(s, err);
        if (r < 0)
                return r;
        iov[0] = (struct iovec){&head, sizeof(head)};
        iov[1] = (struct iovec){s->data, SIGNER_DATA_MAX};
        msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = 2};
        while ((n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
                ;
        if (n <= 0)
                return gone(err, n < 0 ? errno : 0);
        if ((size_t)n < sizeof(head) || head.magic != SIGNER_MAGIC || (size_t)n != sizeof(head) + head.len ||
                (msg.msg_flags & MSG_TRUNC))
                return gone(err, EPROTO);
        s->len = head.len;
        return head.verdict == KILN_OK ? 0 : take_error(s, head.verdict, err);
}

/* The first exchange: proves that the other side is there, and learns its public keys. */
static int greet(struct kiln_signer *s, struct kiln_error *err)
{
        const char *armor, *fingerprint, *pem, *keyid, *vkey;
        size_t at = 1;
        int r = ask(s, SIGNER_PUBLIC_KEYS, -1, NULL, 0, err);

        if (r < 0)
                return r;
        armor = next_string(s, &at);
        fingerprint = next_string(s, &at);
        pem = next_string(s, &at);
        keyid = next_string(s, &at);
        vkey = next_string(s, &at);
        if (!vkey || strlen(fingerprint) != KILN_OPENPGP_FINGERPRINT_HEX || strlen(keyid) != KILN_KEYID_HEX)
                return gone(err, EPROTO);
        s->public.created = s->data[0];
        s->public.openpgp_armor = kiln_strdup(armor);
        s->public.attest_pem = kiln_strdup(pem);
        s->public.log_vkey = *vkey ? kiln_strdup(vkey) : NULL;
        memcpy(s->public.openpgp_fingerprint, fingerprint, sizeof(s->public.openpgp_fingerprint));
        memcpy(s->public.attest_keyid, keyid, sizeof(s->public.attest_keyid));
        return 0;
}

static struct kiln_signer *new_signer(const struct kiln_context *c, int fd)
{
        struct kiln_signer *s = kiln_calloc(1, sizeof(*s));

        s->fd = fd;
        s->cancel_fd = c->cancel_fd;
        s->data = kiln_malloc(SIGNER_DATA_MAX);
        return s;
}

/* In the child: only async-signal-safe calls, the parent may have threads. */
static void __attribute__((noreturn))
become_signer(int fd, const char *program, char *const *argv, pid_t parent)
{
        static char *const env[] = {(char *)"LC_ALL=C.UTF-8", NULL};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid(); /* Ctrl-C is for the parent, which closes the socket when it ends */
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
                _exit(4);
        if (fd == SPAWNED_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, SPAWNED_FD) < 0)
                _exit(4);
        if (close_range(SPAWNED_FD + 1, ~0U, 0) < 0)
                _exit(4);
        execve(program, argv, env);
        _exit(4);
}

static int spawn(const struct kiln_context *c, const char *program, const char *log_origin,
        struct kiln_signer **ret, struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        _cleanup_close_ int theirs = -1;
        char fd_text[] = {'0' + SPAWNED_FD, '\0'};
        char *argv[] = {(char *)"kiln", (char *)"signer", (char *)"--fd", fd_text, (char *)"--keys",
                c->key_dir, log_origin ? (char *)"--log-origin" : NULL, (char *)log_origin, NULL};
        pid_t parent = getpid(), pid;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "starting", "the signer", "cannot make a socket");
        s = new_signer(c, pair[0]);
        theirs = pair[1];
        pid = fork();
        if (pid < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "starting", "the signer", "cannot fork");
        if (pid == 0)
                become_signer(theirs, program ? program : "/proc/self/exe", argv, parent);
        s->pid = pid;
        close(TAKE_FD(theirs));
        r = greet(s, err);
        if (r < 0)
                return r;
        if (s->public.created)
                kiln_sink_note(&c->sink,
                        "made a new local key pair in %s (packages: OpenPGP %s, attestations: %s)",
                        c->key_dir, s->public.openpgp_fingerprint, s->public.attest_keyid);
        *ret = TAKE_PTR(s);
        return 0;
}

int kiln_signer_spawn(
        const struct kiln_context *c, const char *program, struct kiln_signer **ret, struct kiln_error *err)
{
        return spawn(c, program, NULL, ret, err);
}

int kiln_signer_spawn_log(
        const struct kiln_context *c, const char *origin, struct kiln_signer **ret, struct kiln_error *err)
{
        return spawn(c, NULL, origin, ret, err);
}

int kiln_signer_connect(const struct kiln_context *c, const char *socket_path, struct kiln_signer **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd, r;

        if (strlen(socket_path) >= sizeof(address.sun_path))
                return kiln_error_set(err, KILN_USAGE, ENAMETOOLONG, "talking to the signer at", socket_path,
                        "a socket's path has at most %zu bytes", sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, socket_path, strlen(socket_path));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "starting", "the signer", "cannot make a socket");
        s = new_signer(c, fd);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                r = -errno;
                kiln_error_set(
                        err, KILN_INFRA, errno, "talking to the signer at", socket_path, "cannot connect");
                kiln_error_advise(err, "Start it with `kiln signer --listen %s`.", socket_path);
                return r;
        }
        r = greet(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int kiln_signer_open(const struct kiln_context *c, const char *socket_path, struct kiln_signer **ret,
        struct kiln_error *err)
{
        return socket_path ? kiln_signer_connect(c, socket_path, ret, err)
                           : kiln_signer_spawn(c, NULL, ret, err);
}

static int take_package(const struct kiln_signer *s, struct signer_package *ret, struct kiln_error *err)
{
        if (s->len < sizeof(*ret))
                return gone(err, EPROTO);
        memcpy(ret, s->data, sizeof(*ret));
        if (!memchr(ret->file_name, '\0', sizeof(ret->file_name)) || strchr(ret->file_name, '/'))
                return gone(err, EPROTO);
        return 0;
}

/* Errors of the signer speak of "the package"; here its name is known. */
static int name_package(struct kiln_error *err, const char *name, int r)
{
        if (err && err->subject && strcmp(err->subject, "the package") == 0) {
                free(err->subject);
                err->subject = kiln_strdup(name);
        }
        return r;
}

int kiln_signer_show(struct kiln_signer *s, int fd, const char *name, const struct kiln_digest *expected,
        struct kiln_subject *ret, struct kiln_error *err)
{
        struct signer_package package;
        int r = ask(s, SIGNER_SHOW_RPM, fd, expected, 0, err);

        if (r == 0)
                r = take_package(s, &package, err);
        if (r < 0)
                return name_package(err, name, r);
        *ret = (struct kiln_subject){.file_name = kiln_strdup(package.file_name), .digests = package.digests};
        return 0;
}

/* Appends everything of in from offset on to out. */
static int copy_rest(int in, int out, uint64_t offset)
{
        off_t at = (off_t)offset;
        bool plain = false;
        char chunk[65536];

        for (;;) {
                ssize_t n = plain ? pread(in, chunk, sizeof(chunk), at)
                                  : copy_file_range(in, &at, out, NULL, (size_t)1 << 30, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && !plain &&
                        (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
                        plain = true;
                        continue;
                }
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                if (plain) {
                        int r = kiln_fd_write(out, chunk, (size_t)n);

                        if (r < 0)
                                return r;
                        at += n;
                }
        }
}

int kiln_signer_rpm(struct kiln_signer *s, int fd, const char *name, const struct kiln_digest *expected,
        int64_t time_s, int out_fd, struct kiln_subject *ret, struct kiln_error *err)
{
        struct signer_package package;
        struct kiln_digest written;
        int r = ask(s, SIGNER_SIGN_RPM, fd, expected, time_s, err);

        if (r == 0)
                r = take_package(s, &package, err);
        if (r < 0)
                return name_package(err, name, r);
        r = kiln_fd_write(out_fd, s->data + sizeof(package), s->len - sizeof(package));
        if (r == 0)
                r = copy_rest(fd, out_fd, package.header_offset);
        if (r == 0)
                r = kiln_digest_of_fd(out_fd, &written, NULL);
        if (r < 0) {
                kiln_error_set(err, KILN_INFRA, -r, "writing the signed package", name, "cannot write it");
                if (r == -ENOSPC || r == -EDQUOT)
                        kiln_error_advise(err, "Free some space there and run the same command again.");
                return r;
        }
        if (!kiln_digest_equal(&written, &package.digests.signed_file))
                return kiln_error_set(err, KILN_INFRA, ESTALE, "writing the signed package", name,
                        "it is not what the signer signed");
        *ret = (struct kiln_subject){.file_name = kiln_strdup(package.file_name), .digests = package.digests};
        return 0;
}

/* Sends bytes as a sealed memfd, so that they cannot change while the signer looks at them. */
static int ask_about(
        struct kiln_signer *s, enum signer_op op, const void *data, size_t len, struct kiln_error *err)
{
        _cleanup_close_ int fd = memfd_create("kiln-to-sign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct kiln_digest sha256 = kiln_digest_of(data, len);
        int r = fd < 0 ? -errno : kiln_fd_write(fd, data, len);

        if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                r = -errno;
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, "signing", NULL, "cannot make a memory file");
        return ask(s, op, fd, &sha256, 0, err);
}

int kiln_signer_statement(struct kiln_signer *s, const char *statement, size_t len, struct kiln_buf *envelope,
        struct kiln_error *err)
{
        int r = ask_about(s, SIGNER_SIGN_STATEMENT, statement, len, err);

        if (r < 0)
                return r;
        if (s->len != 64)
                return gone(err, EPROTO);
        kiln_dsse_write(KILN_DSSE_INTOTO, statement, len, s->public.attest_keyid, s->data, envelope);
        return 0;
}

int kiln_signer_repomd(
        struct kiln_signer *s, const void *data, size_t len, char **ret_armor, struct kiln_error *err)
{
        int r = ask_about(s, SIGNER_SIGN_REPOMD, data, len, err);

        if (r < 0)
                return r;
        *ret_armor = kiln_strndup((const char *)s->data, s->len);
        return 0;
}

int kiln_signer_checkpoint(
        struct kiln_signer *s, const char *body, size_t len, unsigned char ret[64], struct kiln_error *err)
{
        int r = ask_about(s, SIGNER_SIGN_CHECKPOINT, body, len, err);

        if (r < 0)
                return r;
        if (s->len != 64)
                return gone(err, EPROTO);
        memcpy(ret, s->data, 64);
        return 0;
}

static int sign_repomd(void *ctx, const void *data, size_t len, char **ret_armor, struct kiln_error *err)
{
        return kiln_signer_repomd(ctx, data, len, ret_armor, err);
}

struct kiln_bootstrap_signer kiln_signer_for_bootstrap(struct kiln_signer *s)
{
        return (struct kiln_bootstrap_signer){
                .sign = sign_repomd, .ctx = s, .public_key = s->public.openpgp_armor};
}
