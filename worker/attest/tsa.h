/* A time-stamp authority that is asked over HTTP (RFC 3161, section 3.4). What it answers is checked with the
 * certificates the caller brought before anybody else sees it. */
#pragma once

#include "worker/attest/timestamp.h"
#include "worker/base/context.h"

struct kiln_tsa;

/* pem: the certificates its stamps must lead to. Nothing is sent yet. Errors: BAD_INPUT (no http or https
 * URL, no certificates), REFUSED (offline), INFRA. */
int kiln_tsa_open(const struct kiln_context *c, const char *url, const char *pem, size_t len,
        struct kiln_tsa **ret, struct kiln_error *err);
void kiln_tsa_free(struct kiln_tsa *t);
KILN_DEFINE_CLEANUP(struct kiln_tsa *, kiln_tsa_free)

/* Appends files of certificates in PEM to one another. BAD_INPUT: one cannot be read. */
int kiln_tsa_read_certificates(char *const *files, struct kiln_buf *out, struct kiln_error *err);

/* Has `data` stamped and appends the DER of the TimeStampResp. Asks again after a pause where that can help.
 * Errors: INFRA (it does not answer, or not with a stamp that holds), CANCELLED. */
int kiln_tsa_stamp(
        struct kiln_tsa *t, const void *data, size_t len, struct kiln_buf *out, struct kiln_error *err);
