/* The signer process: holds the keys, answers one request after the other.
 *
 * It may read the descriptors it is given and write its sockets, nothing else. A request that is malformed
 * ends its conversation; one that is refused gets the reason. It must never sign bytes whose digest it has
 * not computed. */
#include "worker/attest/signer-wire.h"

#include "worker/attest/dsse.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS_MAX 64
#define PACKAGES_MAX 4096 /* of one conversation; the largest SRPMs make some hundreds */

#define STRING_MAX 8192 /* far above what we write: the message must fit */

struct client {
        int fd;
        bool refused;                  /* gets the reason as its first and last answer */
        struct kiln_subject *packages; /* seen and hashed in this conversation */
        size_t n_packages;
};

static void client_end(struct client *c)
{
        for (size_t i = 0; i < c->n_packages; i++)
                free(c->packages[i].file_name);
        free(c->packages);
        close(c->fd);
        *c = (struct client){.fd = -1};
}

static int reply(int fd, enum kiln_verdict verdict, const struct kiln_buf *data)
{
        struct signer_reply head = {
                .magic = SIGNER_MAGIC, .verdict = (uint32_t)verdict, .len = (uint32_t)data->len};
        struct iovec iov[2] = {{&head, sizeof(head)}, {data->data, data->len}};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = data->len ? 2 : 1};

        return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void put_string(struct kiln_buf *b, const char *s)
{
        size_t len = s ? strlen(s) : 0;

        kiln_buf_append(b, s, len < STRING_MAX ? len : STRING_MAX);
        kiln_buf_putc(b, '\0');
}

static int reply_error(int fd, const struct kiln_error *e)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        int32_t errnum = e->errnum;

        kiln_buf_append(&b, &errnum, sizeof(errnum));
        put_string(&b, e->doing);
        put_string(&b, e->subject);
        put_string(&b, e->cause);
        put_string(&b, e->advice);
        return reply(fd, e->verdict ? e->verdict : KILN_INFRA, &b);
}

/* All of a regular file, if its digest is the expected one. */
static int read_checked(int fd, uint64_t max, const struct kiln_digest *expected, struct kiln_buf *out,
        struct kiln_error *err)
{
        struct kiln_digest found;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
                return kiln_error_set(err, KILN_REFUSED, EINVAL, "signing", NULL,
                        "what is to be signed is no file, or too large");
        if (lseek(fd, 0, SEEK_SET) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "signing", NULL, "cannot read what is to be signed");
        r = kiln_fd_read(fd, max, out);
        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, "signing", NULL, "cannot read what is to be signed");
        found = kiln_digest_of(out->data ? out->data : "", out->len);
        if (!kiln_digest_equal(&found, expected))
                return kiln_error_set(err, KILN_REFUSED, EBADMSG, "signing", NULL,
                        "what is to be signed has another SHA-256 than announced");
        return 0;
}

static int do_rpm(const struct kiln_keys *k, struct client *c, const struct signer_request *q, int fd,
        struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_(kiln_rpmsig_freep) struct kiln_rpmsig *rpm = NULL;
        _cleanup_buf_ struct kiln_buf prefix = KILN_BUF_INIT;
        struct signer_package package = {0};
        struct kiln_subject *seen;
        int r;

        if (c->n_packages >= PACKAGES_MAX)
                return kiln_error_set(
                        err, KILN_REFUSED, E2BIG, "signing", NULL, "more than %d packages", PACKAGES_MAX);
        r = kiln_rpmsig_read(fd, "the package", &rpm, err);
        if (r < 0)
                return r;
        if (!kiln_digest_equal(&kiln_rpmsig_digests(rpm)->signed_file, &q->sha256))
                return kiln_error_set(err, KILN_REFUSED, EBADMSG, "signing", kiln_rpmsig_file_name(rpm),
                        "it has another SHA-256 than announced");
        if (q->op == SIGNER_SIGN_RPM)
                r = kiln_rpmsig_sign(rpm, fd, &k->openpgp, k->rpm, q->time_s, &prefix, err);
        if (r < 0)
                return r;
        seen = KILN_APPEND(c->packages, c->n_packages);
        seen->file_name = kiln_strdup(kiln_rpmsig_file_name(rpm));
        seen->digests = *kiln_rpmsig_digests(rpm);

        package.digests = seen->digests;
        package.header_offset = kiln_rpmsig_header_offset(rpm);
        memcpy(package.file_name, seen->file_name,
                strlen(seen->file_name)); /* kiln_rpmsig_read(): below 256 */
        kiln_buf_append(out, &package, sizeof(package));
        kiln_buf_append(out, prefix.data, prefix.len);
        return 0;
}

static int sign_ed25519(EVP_PKEY *key, const char *what, const void *data, size_t data_len,
        struct kiln_buf *out, struct kiln_error *err)
{
        unsigned char signature[64];
        size_t len = sizeof(signature);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestSign(ctx, signature, &len, data, data_len) == 1 && len == sizeof(signature);

        EVP_MD_CTX_free(ctx);
        if (!ok)
                return kiln_error_set(err, KILN_INFRA, 0, "signing", what, "OpenSSL refuses");
        kiln_buf_append(out, signature, sizeof(signature));
        return 0;
}

static int do_statement(const struct kiln_keys *k, const struct client *c, const struct signer_request *q,
        int fd, struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, pae = KILN_BUF_INIT;
        int r = read_checked(fd, KILN_DSSE_PAYLOAD_MAX, &q->sha256, &text, err);

        if (r < 0)
                return r;
        r = kiln_statement_check(kiln_buf_str(&text), text.len, c->packages, c->n_packages, err);
        if (r < 0)
                return r;
        kiln_dsse_pae(KILN_DSSE_INTOTO, text.data, text.len, &pae);
        return sign_ed25519(k->attest, "the statement", pae.data, pae.len, out, err);
}

/* Nothing but a checkpoint of the key's own log, without extensions: no signature of this key means anything
 * else. That it extends what was signed before is for the caller to see to; a fork is found by whoever
 * compares two checkpoints. */
static int do_checkpoint(const struct kiln_keys *k, const struct signer_request *q, int fd,
        struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT;
        int r;

        if (!k->log)
                return kiln_error_set(err, KILN_REFUSED, ENOKEY, "signing", "the checkpoint",
                        "this signer holds no log's key");
        r = read_checked(fd, KILN_NOTE_MAX, &q->sha256, &body, err);
        if (r < 0)
                return r;
        if (!kiln_checkpoint_is_body(kiln_buf_str(&body), body.len, k->log_public->name))
                return kiln_error_set(err, KILN_REFUSED, EPERM, "signing", "the checkpoint",
                        "it is no checkpoint of the log %s", k->log_public->name);
        return sign_ed25519(k->log, "the checkpoint", body.data, body.len, out, err);
}

/* The root element is <repomd>; an OpenPGP signature of anything else, above all of an RPM header, must not
 * be had this way. Both begin with other bytes. */
static bool is_repomd(const struct kiln_buf *b)
{
        const char *p = kiln_buf_str(b);

        if (strlen(p) != b->len || strncmp(p, "<?xml ", 6) != 0)
                return false;
        p = strstr(p, "?>");
        if (!p)
                return false;
        p += 2;
        p += strspn(p, " \t\r\n");
        return strncmp(p, "<repomd", 7) == 0 && (p[7] == ' ' || p[7] == '>' || p[7] == '\n');
}

static int do_repomd(const struct kiln_keys *k, const struct signer_request *q, int fd, struct kiln_buf *out,
        struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, signature = KILN_BUF_INIT;
        int r = read_checked(fd, SIGNER_REPOMD_MAX, &q->sha256, &text, err);

        if (r < 0)
                return r;
        if (!is_repomd(&text))
                return kiln_error_set(
                        err, KILN_REFUSED, EPERM, "signing", "repomd.xml", "it is no repository metadata");
        r = kiln_openpgp_sign(&k->openpgp, k->rpm, text.data, text.len, KILN_KEYS_CREATED_S, &signature);
        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, "signing", "repomd.xml", "cannot make the signature");
        kiln_openpgp_armor(KILN_ARMOR_SIGNATURE, signature.data, signature.len, out);
        return 0;
}

static void do_public_keys(const struct kiln_keys *k, struct kiln_buf *out)
{
        kiln_buf_putc(out, (char)k->public.created);
        put_string(out, k->public.openpgp_armor);
        put_string(out, k->public.openpgp_fingerprint);
        put_string(out, k->public.attest_pem);
        put_string(out, k->public.attest_keyid);
        put_string(out, k->public.log_vkey);
}

/* One message, with the descriptor that came with it (-1: none). 0: end of the conversation. */
static ssize_t receive(int socket, struct signer_request *q, int *ret_fd)
{
        struct iovec iov = {q, sizeof(*q)};
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(4 * sizeof(int))];
        } control;
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        size_t n_fds = 0;
        int fd = -1;

        if (n < 0)
                return -errno;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h)) {
                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int got;

                        memcpy(&got, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
                        if (n_fds++ == 0)
                                fd = got;
                        else
                                close(got);
                }
        }
        if (n > 0 && ((size_t)n != sizeof(*q) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n_fds > 1 ||
                             q->magic != SIGNER_MAGIC)) {
                if (fd >= 0)
                        close(fd);
                return -EPROTO;
        }
        *ret_fd = fd;
        return n;
}

/* 0, or negative: the conversation is over. */
static int answer(const struct kiln_keys *k, struct client *c)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = -1;
        struct signer_request q;
        ssize_t n = receive(c->fd, &q, &fd);
        int r = 0;

        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n <= 0)
                return n < 0 ? (int)n : -ECONNRESET;
        if (c->refused) {
                kiln_error_set(&err, KILN_REFUSED, 0, "asking", "the signer",
                        "your user is not among those that may");
                kiln_error_advise(&err, "Start `kiln signer` with --allow and your numeric user id.");
                reply_error(c->fd, &err);
                return -EPERM;
        }
        if (q.op == SIGNER_PUBLIC_KEYS)
                do_public_keys(k, &out);
        else if (fd < 0)
                return -EPROTO;
        else if (q.op == SIGNER_SIGN_RPM || q.op == SIGNER_SHOW_RPM)
                r = do_rpm(k, c, &q, fd, &out, &err);
        else if (q.op == SIGNER_SIGN_STATEMENT)
                r = do_statement(k, c, &q, fd, &out, &err);
        else if (q.op == SIGNER_SIGN_REPOMD)
                r = do_repomd(k, &q, fd, &out, &err);
        else if (q.op == SIGNER_SIGN_CHECKPOINT)
                r = do_checkpoint(k, &q, fd, &out, &err);
        else
                return -EPROTO;
        return r < 0 ? reply_error(c->fd, &err) : reply(c->fd, KILN_OK, &out);
}

static bool may_ask(const struct kiln_signer_server *server, int fd)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return false;
        for (size_t i = 0; i < server->n_allowed; i++)
                if (server->allowed[i] == peer.uid)
                        return true;
        return false;
}

static void welcome(const struct kiln_signer_server *server, int listener, struct client *clients)
{
        _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (clients[i].fd < 0) {
                        clients[i].refused = !may_ask(server, fd);
                        clients[i].fd = TAKE_FD(fd);
                        return;
                }
}

static int loop(const struct kiln_signer_server *server, const struct kiln_keys *k, int listener)
{
        struct client clients[CLIENTS_MAX];

        for (size_t i = 0; i < CLIENTS_MAX; i++)
                clients[i] = (struct client){.fd = -1};
        if (listener < 0)
                clients[0].fd = server->fd;
        for (;;) {
                struct pollfd p[CLIENTS_MAX + 2];

                for (size_t i = 0; i < CLIENTS_MAX; i++)
                        p[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
                p[CLIENTS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
                /* A spawned one ends with its conversation instead: its parent may still have to sign what it
                 * does when it is cancelled. */
                p[CLIENTS_MAX + 1] =
                        (struct pollfd){.fd = listener >= 0 ? server->cancel_fd : -1, .events = POLLIN};
                if (poll(p, CLIENTS_MAX + 2, -1) < 0) {
                        if (errno != EINTR)
                                return -errno;
                        continue;
                }
                if (p[CLIENTS_MAX + 1].revents)
                        return 0;
                for (size_t i = 0; i < CLIENTS_MAX; i++)
                        if (p[i].fd >= 0 && p[i].revents && answer(k, &clients[i]) < 0)
                                client_end(&clients[i]);
                if (listener < 0 && clients[0].fd < 0)
                        return 0;
                if (p[CLIENTS_MAX].revents)
                        welcome(server, listener, clients);
        }
}

/* A socket that nobody listens on any more is in the way of the next signer. */
static void remove_stale(const struct sockaddr_un *address)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        struct stat st;

        if (fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
                connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED)
                unlink(address->sun_path);
}

static int listen_on(const char *path, struct kiln_error *err)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return kiln_error_set(err, KILN_USAGE, ENAMETOOLONG, "listening on", path,
                        "a socket's path has at most %zu bytes", sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, path, strlen(path));
        remove_stale(&address);
        /* Who may ask is decided by SO_PEERCRED, not by the socket's mode. */
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0666) < 0 ||
                listen(fd, 16) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "listening on", path, "cannot make the socket");
        return TAKE_FD(fd);
}

/* Whoever spawned this process waits for its first answer. Their request is taken first: closing a socket
 * with something unread would throw our answer away. */
static void answer_failure(int socket, const struct kiln_error *err)
{
        struct pollfd p = {.fd = socket, .events = POLLIN};
        struct signer_request q;
        int fd = -1;

        if (poll(&p, 1, 10000) > 0 && receive(socket, &q, &fd) > 0)
                reply_error(socket, err);
        if (fd >= 0)
                close(fd);
}

/* OpenSSL loads what it needs at first use: use it before files can no longer be opened. */
static int warm_up(const struct kiln_keys *k)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        return kiln_openpgp_sign(&k->openpgp, k->rpm, "", 0, 0, &b);
}

int kiln_signer_serve(const struct kiln_signer_server *server, struct kiln_error *err)
{
        _cleanup_(kiln_keys_freep) struct kiln_keys *k = NULL;
        _cleanup_error_ struct kiln_error own = KILN_ERROR_INIT;
        _cleanup_close_ int listener = -1;
        int r;

        if (!err)
                err = &own;
        umask(077);
        r = signer_confine_memory(err);
        if (r == 0)
                r = kiln_keys_open(server->key_dir, server->user_id, server->log_origin, &k, err);
        if (r < 0)
                goto out;
        if (server->fd < 0) {
                listener = listen_on(server->socket_path, err);
                if (listener < 0)
                        return listener;
        }
        r = warm_up(k);
        if (r < 0)
                kiln_error_set(err, KILN_INFRA, -r, "starting", "the signer", "OpenSSL cannot sign");
        if (r == 0)
                r = signer_confine_user(err);
        if (r == 0)
                r = signer_confine_calls(err);
        if (r == 0) {
                r = loop(server, k, listener);
                if (r < 0)
                        kiln_error_set(err, KILN_INFRA, -r, "waiting for", "requests", "poll failed");
        }
out:
        if (r < 0 && server->fd >= 0)
                answer_failure(server->fd, err);
        return r;
}
