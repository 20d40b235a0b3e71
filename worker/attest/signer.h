/* The signer: a process of its own that holds the keys, and how the rest of Kiln talks to it.
 *
 * A `struct kiln_signer` is one conversation. The process on the other side is either one that
 * kiln_signer_spawn() made for a local key pair (a fresh image of this program; as root it gives up root once
 * it has read the keys) or one that an operator started with `kiln signer --listen`. It re-hashes every
 * package it is given, signs statements only about packages it has hashed in this conversation, and signs
 * nothing else but repomd.xml and checkpoints of its own log. Private key bytes never enter this process. Not
 * thread-safe. */
#pragma once

#include "toolchains/toolchain.h"
#include "worker/attest/keys.h"
#include "worker/attest/statement.h"

struct kiln_signer;

/* Starts a signer for the context's key_dir; keys are made on first use, and a NOTE event says so. program:
 * the `kiln` to execute; NULL: this program's own image, whose main() must understand `kiln signer --fd`.
 * Errors: REFUSED (the key directory is open to others), INFRA. */
int kiln_signer_spawn(
        const struct kiln_context *c, const char *program, struct kiln_signer **ret, struct kiln_error *err);

/* The same for a key directory that holds, or from now on holds, the key of the log of this name (NULL: which
 * it holds does not matter). REFUSED: it
 * holds another log's. */
int kiln_signer_spawn_log(
        const struct kiln_context *c, const char *origin, struct kiln_signer **ret, struct kiln_error *err);

/* Talks to a served one. Errors: INFRA (nobody answers), REFUSED (this user may not ask). */
int kiln_signer_connect(const struct kiln_context *c, const char *socket_path, struct kiln_signer **ret,
        struct kiln_error *err);

/* The served one of a request or an option, or without one (NULL) a local one of this program's own image. */
int kiln_signer_open(const struct kiln_context *c, const char *socket_path, struct kiln_signer **ret,
        struct kiln_error *err);

/* Ends the conversation, and the process that spawn() made. */
void kiln_signer_free(struct kiln_signer *s);
KILN_DEFINE_CLEANUP(struct kiln_signer *, kiln_signer_free)

const struct kiln_public_keys *kiln_signer_public(const struct kiln_signer *s); /* borrowed */

/* Signs the package behind fd, whose SHA-256 must be `expected`, and writes the signed file to out_fd (empty,
 * at its start). time_s is the signature's time, raised to the key's creation if earlier. *ret is filled: the
 * caller frees ret->file_name. Errors: BAD_INPUT (no proper package), INFRA. */
int kiln_signer_rpm(struct kiln_signer *s, int fd, const char *name, const struct kiln_digest *expected,
        int64_t time_s, int out_fd, struct kiln_subject *ret, struct kiln_error *err);

/* Shows the signer a package without having it signed, so that statements can be about it; about one that
 * somebody signed only verification summaries (KILN_SUBJECT_PUBLISHED). */
int kiln_signer_show(struct kiln_signer *s, int fd, const char *name, const struct kiln_digest *expected,
        struct kiln_subject *ret, struct kiln_error *err);

/* Signs an in-toto statement and appends the DSSE envelope and a newline. REFUSED: see
 * kiln_statement_check(). */
int kiln_signer_statement(struct kiln_signer *s, const char *statement, size_t len, struct kiln_buf *envelope,
        struct kiln_error *err);

/* Detached, armored signature of the repomd.xml of the bootstrap repository, at the key's creation time: same
 * bytes, same signature. *ret_armor is the caller's. */
int kiln_signer_repomd(
        struct kiln_signer *s, const void *data, size_t len, char **ret_armor, struct kiln_error *err);

/* Signs a checkpoint's body (kiln_checkpoint_body()) with the log's key; *ret is the signature. REFUSED: the
 * signer has no log, or the body is of another log or no plain checkpoint. */
int kiln_signer_checkpoint(
        struct kiln_signer *s, const char *body, size_t len, unsigned char ret[64], struct kiln_error *err);

/* The same in the shape that kiln_toolchain_bootstrap() takes; valid as long as s. */
struct kiln_bootstrap_signer kiln_signer_for_bootstrap(struct kiln_signer *s);

/* ---- the other side: only `kiln signer` calls these
 * ---------------------------------------------------------- */

struct kiln_signer_server {
        const char *key_dir;
        const char *user_id;    /* NULL: the default */
        const char *log_origin; /* of the log whose key is to be there; NULL: whichever is */
        int fd;                 /* an accepted conversation; -1: listen on socket_path */
        const char *socket_path;
        const uid_t *allowed; /* who may ask on socket_path, by SO_PEERCRED */
        size_t n_allowed;
        int cancel_fd; /* readable: stop serving socket_path; -1: never */
};

/* The unprivileged id a signer started by root continues as, unless a user `kiln-signer` exists: nothing else
 * runs as it. It lies in the range that systemd's UID table (uids-gids.md) lists as unused. */
#define KILN_SIGNER_UID 61183
#define KILN_SIGNER_USER "kiln-signer"

/* Locks memory and dumping, opens the keys, drops root, closes the system call filter, serves. Returns 0 when
 * a spawned conversation ended, else only with an error. */
int kiln_signer_serve(const struct kiln_signer_server *server, struct kiln_error *err);
