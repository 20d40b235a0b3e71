/* The messages between kiln_signer_*() and the signer process. Same program, same host: native integers.
 *
 * SOCK_SEQPACKET keeps messages whole, so none is ever read in part: each request is one struct, with at most
 * one descriptor of what is to be signed; each reply is one struct and its data. Nothing outside
 * worker/attest/signer*.c includes this. */
#pragma once

#include "worker/attest/signer.h"

#define SIGNER_MAGIC UINT32_C(0x314e4c4b) /* "KLN1" */
#define SIGNER_DATA_MAX                                                                                      \
        (160 * 1024) /* a signature header is what is largest; below the socket buffer's default */
#define SIGNER_REPOMD_MAX (UINT64_C(1) << 20)

enum signer_op {
        SIGNER_PUBLIC_KEYS =
                1, /* -> created (1 byte), then five NUL-terminated strings of struct kiln_public_keys */
        SIGNER_SIGN_RPM, /* fd, sha256, time_s -> struct signer_package, then what replaces header_offset
                            bytes */
        SIGNER_SHOW_RPM, /* fd, sha256 -> struct signer_package */
        SIGNER_SIGN_STATEMENT,  /* fd, sha256 -> 64 bytes */
        SIGNER_SIGN_REPOMD,     /* fd, sha256 -> ASCII armor */
        SIGNER_SIGN_CHECKPOINT, /* fd, sha256 of a checkpoint's body -> 64 bytes */
};

struct signer_request {
        uint32_t magic;
        uint32_t op;
        int64_t time_s;
        struct kiln_digest sha256;
};

struct signer_package {
        struct kiln_rpm_digests digests;
        uint64_t header_offset;
        char file_name[256];
};

struct signer_reply {
        uint32_t magic;
        uint32_t verdict; /* enum kiln_verdict; data of an error: errno as int32, then doing, subject, cause,
                             advice */
        uint32_t len;     /* bytes of data behind this */
};

/* Makes this process unreadable to others: no core dump, no ptrace by its own user, no new privileges; locked
 * memory for keys. Before any key is read. */
int signer_confine_memory(struct kiln_error *err);

/* As root: becomes KILN_SIGNER_USER for good. After the keys are read and the socket is bound. */
int signer_confine_user(struct kiln_error *err);

/* Only the calls a signer needs from here on (signer-confine.c has them as a table): no open, no exec, no
 * socket. */
int signer_confine_calls(struct kiln_error *err);
